/**
 * Models that remember otherwise than by a cell per token, with random weights: what they say makes no sense, but it depends
 * on every token before it, so KV that is not exactly right shows.
 */
import { onTestFinished } from 'vitest';
import { namedModel } from '../../bench/generate-model.mjs';
import { loadModel, type LoadOptions, type Model, type Reply, type Session } from '../../lib/index.js';
import { within } from './deadline.js';

export interface Kind {
  name: string;
  path: string;
  /** KV may come from the store and from files. */
  portable: boolean;
  /** The end of a sequence can be taken back. A state can't: it is made of all that went in. */
  trims: boolean;
}

export const KINDS: readonly Kind[] = [
  { name: 'sliding window', path: namedModel('tiny-window'), portable: true, trims: true },
  { name: 'recurrent', path: namedModel('tiny-recurrent'), portable: false, trims: false },
  { name: 'hybrid', path: namedModel('tiny-hybrid'), portable: false, trims: false },
];

/** Greedy, and several windows long after two turns. */
export const GREEDY = { sampling: { temperature: 0 }, maxTokens: 32 };
/** Reads the prompt; the one token that it says is not in the KV. */
export const READ = { ...GREEDY, maxTokens: 1 };

export const MESSAGES: readonly string[] = [
  'My name is Mosoba and I live by the sea.',
  'What do you know about me so far?',
  'Tell me another story about that.',
];

/**
 * On one thread; closed after the test. KV is q8_0: llama.cpp's flash attention on the CPU sums up values of f16 in half
 * precision, so that what a session says would depend on who else is there.
 */
export async function load(kind: Kind, options: LoadOptions = {}): Promise<Model> {
  const model = await within(
    'loadModel',
    loadModel(kind.path, {
      threads: 1,
      contextTokens: 4096,
      maxResident: 4,
      batchTokens: 48,
      kvType: 'q8_0',
      // By default KV comes back when that pays, which depends on the machine.
      cache: { restore: 'always' },
      ...options,
    }),
  );
  onTestFinished(() => within('close() after the test', model.close()));
  return model;
}

/** What a conversation of `send()`s comes to when nobody else is there and its KV never moves. */
export async function chatAlone(kind: Kind, messages: readonly string[]): Promise<string[]> {
  const model = await load(kind, { maxResident: 1 });
  const session = await model.createSession(GREEDY);
  const texts = [];
  for (const message of messages) texts.push((await session.send(message)).text);
  return texts;
}

/** What a prompt comes to in a model that has read nothing else. */
export async function completedAlone(
  kind: Kind,
  prompt: readonly number[],
  maxTokens = GREEDY.maxTokens,
): Promise<string> {
  const model = await load(kind, { maxResident: 1 });
  const { text } = await (await model.createSession()).complete(prompt, { ...GREEDY, maxTokens });
  return text;
}

/** A session that has read a prompt: its KV holds exactly this. */
export async function reader(model: Model, prompt: readonly number[]): Promise<Session> {
  const session = await model.createSession(GREEDY);
  await session.complete(prompt, READ);
  return session;
}

/** Tokens that mean nothing; always the same for the same seed. */
export function noise(seed: number, length: number): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return 20 + ((state >>> 8) % 480);
  });
}

/** What the next turn finds in the KV when nothing was lost: all but the last token, which nobody has decoded. */
export function kvAfter({ usage }: Reply): number {
  return usage.promptTokens + usage.generatedTokens - 1;
}
