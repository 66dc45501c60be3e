/** Which values the options take: the tables behind `options.ts` and `record.ts`. The defaults are in `options.ts`. */
import { types } from 'node:util';
import {
  dictionary,
  integer,
  list,
  number,
  object,
  oneOf,
  oneOfOrInteger,
  options,
  refusal,
  text,
  type,
} from './checks.js';
import type { Check, Shape } from './checks.js';
import { checkMessages } from './messages.js';
import { schemaCheck, toolsCheck } from './tools.js';
import type { CacheOptions, LoadOptions, Sampling, SessionFilter, SessionOptions, TurnOptions } from './types.js';

const INT32 = 2 ** 31 - 1;
const CENTURY_MS = 100 * 365 * 24 * 3_600_000;

/** Ids of sessions. */
export const idCheck: Check = (name, value) => {
  text(1, 256)(name, value);
  // Two ids that differ in unpaired surrogates alone would be one in UTF-8.
  if (/\p{Surrogate}/u.test(value as string)) throw new TypeError(refusal(name, 'well-formed Unicode', value));
};

const store: Check = (name, value) => {
  if (typeof value === 'string') {
    text(1, Infinity)(name, value);
    return;
  }
  if (typeof value !== 'object' || value === null)
    throw new TypeError(refusal(name, 'a directory path or a store', value));
  const given = object(name, value);
  for (const method of ['getRecord', 'putRecord', 'deleteRecord', 'listRecords'])
    type('function')(`${name}.${method}`, given[method]);
};

/** An AbortSignal, of any realm. */
export const signalCheck: Check = (name, value) => {
  const given = value as Partial<AbortSignal> | null;
  // Not by instanceof: polyfills and other realms have their own class.
  const methods = [given?.addEventListener, given?.removeEventListener];
  if (typeof given?.aborted === 'boolean' && methods.every((method) => typeof method === 'function')) return;
  throw new TypeError(refusal(name, 'an AbortSignal', value));
};

const logitBias: Check = (name, value) => {
  for (const [token, logit] of Object.entries(object(name, value))) {
    const id = /^(0|[1-9]\d{0,9})$/.test(token) ? Number(token) : NaN;
    if (!(id <= INT32)) throw new TypeError(refusal(`each key of ${name}`, 'a token id', token));
    // Finite in 32 bits too: an infinite logit makes the probabilities NaN.
    number(-1e6, 1e6)(`${name}[${token}]`, logit);
  }
};

/** Its refusals show no value: any of them may be a key that is in the wrong place. */
const keyRing: Check = (name, value) => {
  const isObject = (given: unknown): boolean => Object.prototype.toString.call(given) === '[object Object]';
  const ring = value as Record<string, unknown>;
  if (!isObject(ring) || Object.keys(ring).some((field) => field !== 'current' && field !== 'keys'))
    throw new TypeError(`${name} must be an object of current and keys`);
  if (!isObject(ring['keys'])) throw new TypeError(`${name}.keys must be an object of keys by their ids`);
  const keys = ring['keys'] as Record<string, unknown>;
  for (const [id, key] of Object.entries(keys)) {
    const length = Buffer.byteLength(id);
    if (length < 1 || length > 255 || /\p{Surrogate}/u.test(id))
      throw new RangeError(`each id in ${name}.keys must be well-formed Unicode of 1 to 255 bytes of UTF-8`);
    if (!types.isUint8Array(key)) throw new TypeError(`each of ${name}.keys must be a Uint8Array of 32 bytes`);
    if (key.byteLength !== 32) throw new RangeError(`each of ${name}.keys must have 32 bytes`);
  }
  const current = ring['current'];
  const isOne = `${name}.current must be the id of one of ${name}.keys`;
  if (typeof current !== 'string') throw new TypeError(isOne);
  if (!Object.hasOwn(keys, current)) throw new RangeError(isOne);
};

const CACHE: Shape<CacheOptions> = {
  ramBytes: integer(0, Number.MAX_SAFE_INTEGER),
  diskBytes: integer(0, Number.MAX_SAFE_INTEGER),
  pageTokens: integer(16, 65_536),
  restore: oneOf(['auto', 'always']),
  idleMs: integer(0, INT32),
};

const LOAD: Shape<LoadOptions> = {
  gpuLayers: oneOfOrInteger(['auto', 'all'], 0, INT32),
  contextTokens: oneOfOrInteger(['auto'], 1, INT32),
  maxResident: integer(1, 256),
  batchTokens: integer(1, 65_536),
  threads: integer(1, 512),
  kvLayout: oneOf(['auto', 'unified', 'streams']),
  kvType: oneOf(['f16', 'q8_0', 'q4_0']),
  speculation: oneOf(['auto', 'off']),
  store,
  durability: oneOf(['always', 'everysec', 'none']),
  cache: options(CACHE),
  encryption: keyRing,
  maxQueued: integer(1, INT32),
  onProgress: type('function'),
  signal: signalCheck,
};

const SAMPLING: Shape<Sampling> = {
  temperature: number(0, 100),
  topK: integer(0, INT32),
  topP: number(0, 1),
  minP: number(0, 1),
  repeatPenalty: number(0.01, 100),
  frequencyPenalty: number(-100, 100),
  presencePenalty: number(-100, 100),
  seed: integer(0, 2 ** 32 - 1),
  grammar: text(0, Infinity),
  jsonSchema: schemaCheck,
  logitBias,
};

/** What a session and a turn have in common. */
const EITHER = {
  sampling: options(SAMPLING),
  maxTokens: integer(1, INT32),
  stop: list(text(1, 4096), 256),
  tools: toolsCheck,
  toolChoice: oneOf(['auto', 'required', 'none']),
  reasoning: oneOf(['auto', 'off']),
  priority: number(-1000, 1000),
};

/** What a session keeps beside its messages. */
export const SETTINGS: Shape<Omit<SessionOptions, 'id' | 'messages' | 'metadata'>> = {
  ...EITHER,
  system: text(0, Infinity),
  ttlMs: integer(1, CENTURY_MS),
  overflow: oneOf(['error', 'dropOldest']),
  pinned: type('boolean'),
};

const SESSION: Shape<SessionOptions> = {
  ...SETTINGS,
  id: idCheck,
  messages: (name, value) => void checkMessages(value, name),
  metadata: dictionary(text(0, Infinity)),
};

const TURN: Shape<TurnOptions> = {
  ...EITHER,
  ignoreEog: type('boolean'),
  signal: signalCheck,
  // What a Node timer can wait; a longer one would fire at once.
  timeoutMs: integer(1, INT32),
};

/** Checks what `loadModel()` was given. */
export const loadCheck: Check = options(LOAD);
/** Checks what `createSession()` was given. */
export const sessionCheck: Check = options(SESSION);
/** Checks what the sessions of a pool begin with. */
export const poolSessionCheck: Check = (name, value) => {
  sessionCheck(name, value);
  if ((value as SessionOptions).id !== undefined) throw new TypeError(refusal(`${name}.id`, 'left out', value));
};
/** Checks what `resumeSession()` was given. */
export const resumeCheck: Check = options({ ...SESSION, takeOver: type('boolean') });
/** Checks what `send()` was given. */
export const turnCheck: Check = options(TURN);
/** Checks a `sampling`. */
export const samplingCheck: Check = SETTINGS.sampling;
/** Checks a `metadata`. */
export const metadataCheck: Check = SESSION.metadata;

const FILTER: Shape<SessionFilter> = {
  prefix: text(0, 256),
  state: oneOf(['idle', 'queued', 'running', 'closed']),
  limit: integer(1, INT32),
  cursor: text(0, 256),
};

/** Checks what `listSessions()` was given. */
export const filterCheck: Check = options(FILTER);
/** Checks the options of `fork()`. */
export const forkCheck: Check = options({ id: idCheck, atMessage: integer(0, INT32) });
/** Checks the options of `importSession()`. */
export const importCheck: Check = options({ id: idCheck, replace: type('boolean') });
/** Checks the options of `tokenize()`. */
export const tokenizeCheck: Check = options({ addSpecial: type('boolean'), parseSpecial: type('boolean') });
