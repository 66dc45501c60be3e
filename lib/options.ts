import { randomInt, randomUUID } from 'node:crypto';
import { filePath, integer, refusal, text } from './checks.js';
import { copyJson, toJson } from './json.js';
import { checkMessages } from './messages.js';
import type { ReplyOptions } from './native.js';
import type {
  ResolvedLoadOptions,
  ResolvedSampling,
  ResolvedSessionOptions,
  ResolvedTurnOptions,
  ResumedSession,
  SessionSettings,
} from './resolved.js';
import {
  filterCheck,
  idCheck,
  importCheck,
  forkCheck,
  loadCheck,
  resumeCheck,
  samplingCheck,
  sessionCheck,
  tokenizeCheck,
  turnCheck,
} from './shapes.js';
import type { LoadOptions, ResumeOptions, Sampling, SessionFilter, SessionOptions, TurnOptions } from './types.js';

export type * from './resolved.js';
export { checkMessages, toMessages } from './messages.js';

/** Checks what `loadModel()` was given. @throws TypeError, RangeError */
export function resolveLoadOptions(given: LoadOptions = {}): ResolvedLoadOptions {
  loadCheck('options', given);
  if (given.cache?.diskBytes !== undefined && typeof given.store !== 'string')
    throw new TypeError('cache.diskBytes goes with a store that is a path; give it to the store itself');
  const contextTokens = given.contextTokens ?? 'auto';
  return {
    gpuLayers: given.gpuLayers ?? 'auto',
    contextTokens: contextTokens === 'auto' ? 0 : contextTokens,
    maxResident: given.maxResident ?? 32,
    batchTokens: given.batchTokens ?? 512,
    threads: given.threads ?? 0,
    unified: given.kvLayout !== 'streams',
    kvType: given.kvType ?? 'f16',
    speculation: given.speculation !== 'off',
    durability: given.durability ?? 'always',
    ramBytes: given.cache?.ramBytes ?? 2 ** 30,
    pageTokens: given.cache?.pageTokens ?? 256,
    alwaysRestore: given.cache?.restore === 'always',
    idleMs: given.cache?.idleMs ?? 60_000,
    maxQueued: given.maxQueued ?? 1024,
    ...present({
      store: given.store,
      diskBytes: given.cache?.diskBytes,
      encryption: given.encryption,
      onProgress: given.onProgress,
      signal: given.signal,
    }),
  };
}

/** Checks what `createSession()` was given. @throws TypeError, RangeError */
export function resolveSessionOptions(given: SessionOptions = {}): ResolvedSessionOptions {
  sessionCheck('options', given);
  const messages = checkMessages(given.messages ?? []);
  if (given.system !== undefined && messages[0]?.role === 'system') {
    throw new TypeError('system and a system message at messages[0] exclude each other; give one of them');
  }
  const settings = overlay({ sampling: {}, stop: [], priority: 0, pinned: false, overflow: 'error' }, given);
  return { id: given.id ?? randomUUID(), messages, metadata: { ...given.metadata }, settings };
}

/**
 * Checks what `resumeSession()` was given.
 * @throws TypeError (for `id` and `messages` too, as both are the stored session's), RangeError
 */
export function checkResumeOptions(given: ResumeOptions = {}): void {
  resumeCheck('options', given);
  for (const name of ['id', 'messages'] as const) {
    if (given[name] !== undefined) throw new TypeError(refusal(name, 'left out: the store has it', given[name]));
  }
}

/** Lays what `resumeSession()` was given over what the store kept: `sampling` and `metadata` as a whole. @throws as the check */
export function resolveResumeOptions(stored: ResumedSession, given: ResumeOptions = {}): ResumedSession {
  checkResumeOptions(given);
  return { metadata: { ...(given.metadata ?? stored.metadata) }, settings: overlay(stored.settings, given) };
}

/**
 * Checks what `send()` was given and lays it over the session's settings.
 * @param talking false: for `complete()`, in which there are no tools @throws TypeError, RangeError
 */
export function resolveTurnOptions(
  session: SessionSettings,
  given: TurnOptions = {},
  talking = true,
): ResolvedTurnOptions {
  turnCheck('options', given);
  const sampling = layOver(session.sampling, given.sampling);
  return {
    sampling: resolveSampling(sampling),
    stop: [...(given.stop ?? session.stop)],
    reply: replyOptions(talking ? { ...session, ...present({ ...given, sampling }) } : { sampling }),
    priority: given.priority ?? session.priority,
    ignoreEog: given.ignoreEog ?? false,
    ...present({ maxTokens: given.maxTokens ?? session.maxTokens, signal: given.signal, timeoutMs: given.timeoutMs }),
  };
}

/** Checks a `sampling` and fills in what is absent; the seed anew each time. @throws TypeError, RangeError */
export function resolveSampling(given: Sampling = {}): ResolvedSampling {
  samplingCheck('sampling', given);
  const bias = Object.entries(given.logitBias ?? {});
  return {
    temperature: given.temperature ?? 0.8,
    topK: given.topK ?? 40,
    topP: given.topP ?? 0.95,
    minP: given.minP ?? 0.05,
    repeatPenalty: given.repeatPenalty ?? 1,
    frequencyPenalty: given.frequencyPenalty ?? 0,
    presencePenalty: given.presencePenalty ?? 0,
    seed: given.seed ?? randomInt(2 ** 32),
    grammar: given.grammar ?? '',
    biasTokens: Int32Array.from(bias, ([token]) => Number(token)),
    biasValues: Float64Array.from(bias, ([, logit]) => logit),
  };
}

/** What `{}` means: llama.cpp takes that for no schema. */
const ANY_JSON = { type: ['object', 'array', 'string', 'number', 'boolean', 'null'] };

/**
 * What is asked of replies.
 * @throws TypeError for what excludes each other: a reply can follow one grammar only
 */
export function replyOptions(
  given: Pick<SessionSettings, 'tools' | 'toolChoice' | 'reasoning' | 'sampling'>,
): ReplyOptions {
  const { tools = [], toolChoice = 'auto', reasoning = 'auto', sampling } = given;
  const { grammar = '', jsonSchema } = sampling;
  if (toolChoice === 'required' && given.tools === undefined) throw new TypeError("toolChoice 'required' takes tools");
  if (grammar !== '' && jsonSchema !== undefined)
    throw new TypeError('sampling.grammar and sampling.jsonSchema exclude each other; give one of them');
  if (tools.length > 0 && toolChoice !== 'none' && (grammar !== '' || jsonSchema !== undefined))
    throw new TypeError(
      "sampling.grammar and sampling.jsonSchema leave no room for tools; set toolChoice to 'none' with them",
    );
  return {
    tools: tools.length === 0 ? '' : toJson(tools),
    toolChoice,
    reasoning: reasoning !== 'off',
    jsonSchema:
      jsonSchema === undefined ? '' : JSON.stringify(Object.keys(jsonSchema).length > 0 ? jsonSchema : ANY_JSON),
  };
}

/** Checks a session's id. @throws TypeError, RangeError */
export function checkId(id: unknown): asserts id is string {
  idCheck('id', id);
}

function overlay(base: SessionSettings, given: SessionOptions): SessionSettings {
  const settings = {
    sampling: copySampling(given.sampling ?? base.sampling),
    stop: [...(given.stop ?? base.stop)],
    priority: given.priority ?? base.priority,
    pinned: given.pinned ?? base.pinned,
    overflow: given.overflow ?? base.overflow,
    ...present({
      tools: given.tools === undefined ? base.tools : copyJson(given.tools, 'tools'),
      toolChoice: given.toolChoice ?? base.toolChoice,
      reasoning: given.reasoning ?? base.reasoning,
      system: given.system ?? base.system,
      maxTokens: given.maxTokens ?? base.maxTokens,
      ttlMs: given.ttlMs ?? base.ttlMs,
    }),
  };
  replyOptions(settings); // what no turn could have is refused now
  return settings;
}

/** A turn's own grammar or schema takes the place of the session's, whichever that has. */
function layOver(session: Sampling, own: Sampling = {}): Sampling {
  const { grammar, jsonSchema, ...rest } = session;
  const kept = own.grammar === undefined && own.jsonSchema === undefined ? { grammar, jsonSchema } : {};
  return present({ ...rest, ...kept, ...present({ ...own }) });
}

function copySampling(sampling: Sampling): Sampling {
  const { logitBias, jsonSchema } = sampling;
  return present({
    ...sampling,
    logitBias: logitBias && { ...logitBias },
    jsonSchema: jsonSchema && copyJson(jsonSchema, 'sampling.jsonSchema'),
  });
}

/** Without the names whose value is undefined: absent and undefined mean the same to users, not to exactOptionalPropertyTypes. */
function present<T extends object>(all: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** Checks what `listSessions()` was given. @throws TypeError, RangeError */
export function resolveListFilter(given: SessionFilter = {}): SessionFilter {
  filterCheck('filter', given);
  return present({ ...given });
}

/** Checks what `fork()` was given. @throws TypeError, RangeError */
export function checkForkOptions(given: { id?: string; atMessage?: number } = {}, messages: number): void {
  forkCheck('options', given);
  if (given.atMessage !== undefined) checkMessageCount('options.atMessage', given.atMessage, messages);
}

/** Checks a number of messages to keep. @throws TypeError, RangeError */
export function checkMessageCount(name: string, given: unknown, messages: number): void {
  integer(0, messages)(name, given);
}

/** Checks what `importSession()` was given. @throws TypeError, RangeError */
export function checkImportOptions(path: unknown, given: { id?: string; replace?: boolean } = {}): void {
  text(1, Infinity)('path', path);
  filePath('a file')('path', path);
  importCheck('options', given);
}

/** Checks what `tokenize()` was given, with its defaults in place. @throws TypeError */
export function checkTokenizeOptions(
  given: unknown,
  options: { addSpecial?: boolean; parseSpecial?: boolean } = {},
): { addSpecial: boolean; parseSpecial: boolean } {
  text(0, Infinity)('text', given);
  tokenizeCheck('options', options);
  return { addSpecial: options.addSpecial ?? false, parseSpecial: options.parseSpecial ?? false };
}
