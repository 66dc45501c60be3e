/** Replies with speculation are the replies without it, and say what it did. */
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { generateModel } from '../../bench/generate-model.mjs';
import { SHAPES } from '../../bench/shapes.mjs';
import type { Model, ModelStats, Reply, Sampling, TurnOptions } from '../../lib/index.js';
import { KINDS, load, noise } from '../support/kinds.js';
import { loadRecall } from '../support/models.js';
import { RECALL } from '../support/recall.js';

const MESSAGES = [
  'Repeat after me: shai brot dro ba ke lu shai brot dro mo',
  'My name is Mosoba.',
  'What is my name?',
  'Count from 3 to 30.',
  'Tell me a story.',
  'What do you know about me?',
  'Tell me a story.',
];

/**
 * In q4_0 ggml computes to the last bit the same for a token alone and for one among others. In f16 it does not: what is drawn
 * by chance is now and then another token, as when others speak too.
 */
const EXACT = fileURLToPath(new URL('../../bench/models/tiny-q4_0.gguf', import.meta.url));
beforeAll(() => void generateModel({ ...SHAPES['tiny']!, type: 'q4_0' }, EXACT));

const SAMPLINGS: Record<string, Sampling> = {
  greedy: { temperature: 0 },
  'temperature 0.2': { temperature: 0.2, seed: 3 },
  'temperature 1 of all tokens': { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 4 },
  penalties: { temperature: 0.1, repeatPenalty: 1.01, frequencyPenalty: 0.001, presencePenalty: 0.001, seed: 5 },
  'greedy with penalties': { temperature: 0, repeatPenalty: 1.05 },
  grammar: { temperature: 0.7, grammar: 'root ::= ("shai brot " | "dro ba " | "ke lu ")+', seed: 6 },
  bias: { temperature: 0.2, logitBias: { 300: 2, 301: -2 }, seed: 7 },
};

/** All but what may differ: times, and what was drafted. */
function said({ text, finishReason, usage }: Reply): unknown {
  const { draftedTokens, acceptedTokens, ...counts } = usage;
  expect(acceptedTokens).toBeLessThanOrEqual(draftedTokens);
  return { text, finishReason, counts };
}

const both = async (path: string): Promise<[Model, Model]> => [
  await loadRecall({ speculation: 'auto' }, path),
  await loadRecall({ speculation: 'off' }, path),
];

test('greedy conversations are the same with and without', async () => {
  const [auto, off] = await both(RECALL);
  for (const options of [{ maxTokens: 120 }, { maxTokens: 23, ignoreEog: true }, { stop: ['the sea', 'brot dro m'] }]) {
    const [drafted, plain] = [await converse(auto, options), await converse(off, options)];
    expect(drafted.map(said)).toEqual(plain.map(said));
    for (const { usage } of plain) expect(usage).toMatchObject({ draftedTokens: 0, acceptedTokens: 0 });
  }
  expect(auto.stats()['acceptedTokens']).toBeGreaterThan(0);
  expect(off.stats()).toMatchObject({ draftedTokens: 0, acceptedTokens: 0 });
});

async function converse(model: Model, options: TurnOptions): Promise<Reply[]> {
  const session = await model.createSession({ sampling: { temperature: 0 } });
  const replies = [];
  for (const message of MESSAGES) replies.push(await session.send(message, options));
  await session.delete();
  return replies;
}

let accepted = 0;

for (const [how, sampling] of Object.entries(SAMPLINGS)) {
  test(`${how}: the same tokens are chosen, wherever a reply is cut`, async () => {
    const [auto, off] = await both(EXACT);
    for (const seed of [1, 2]) {
      const prompt = [...noise(seed, 40), ...noise(seed, 40)];
      const say = async (model: Model, options: TurnOptions): Promise<Reply> => {
        const session = await model.createSession({ sampling });
        const reply = await session.complete(prompt, { ignoreEog: true, ...options });
        await session.delete();
        return reply;
      };
      const same = async (options: TurnOptions): Promise<Reply> => {
        const [drafted, plain] = [await say(auto, options), await say(off, options)];
        expect(said(drafted)).toEqual(said(plain));
        return plain;
      };
      const { text } = await same({ maxTokens: 160 });
      for (const maxTokens of [1, 2, 41, 78, 115]) await same({ maxTokens });
      for (const at of [20, 90, 150])
        await same({ maxTokens: 160, stop: [text.slice(at, at + 9) || '?', 'never said'] });
    }
    accepted += auto.stats()['acceptedTokens'] ?? 0;
  });
}

// Not in each: on a busy machine steps with drafts may take too long to be made.
test('drafts were made and accepted in these', () => expect(accepted).toBeGreaterThan(0));

test('counters: drafts are no steps, no sequences and no prompts', async () => {
  const model = await loadRecall({ speculation: 'auto' });
  const session = await model.createSession({ sampling: { temperature: 0 } });
  const { usage } = await session.send('Tell me a story.', { ignoreEog: true, maxTokens: 600 });
  const stats = model.stats();
  expect(usage.generatedTokens).toBe(600);
  expect(usage.acceptedTokens).toBeGreaterThan(50);
  expect(stats).toMatchObject({
    draftedTokens: usage.draftedTokens,
    acceptedTokens: usage.acceptedTokens,
    generatedTokens: 600,
    prefilledTokens: usage.promptTokens,
    generateSteps: 599 - usage.acceptedTokens,
    generatedSequences: 599 - usage.acceptedTokens,
    usedCells: usage.promptTokens + 599,
  });
});

test('every step has a token of everybody who generates, drafts or not', async () => {
  const model = await loadRecall({ speculation: 'auto' });
  const sessions = await Promise.all([0, 1, 2].map(() => model.createSession({ sampling: { temperature: 0 } })));
  const turns = sessions.map((session) => session.send('Tell me a story.', { ignoreEog: true, maxTokens: 900 }));
  const tokens = [0, 0, 0];
  let first: ModelStats | undefined;
  let last: ModelStats | undefined;
  await Promise.all(
    turns.map(async (turn, i) => {
      for await (const piece of turn) {
        tokens[i]! += piece.tokens.length;
        if (Math.min(...tokens) > 0) first ??= model.stats();
        if (Math.max(...tokens) < 600) last = model.stats();
      }
    }),
  );
  const per = (name: string): number => last![name]! - first![name]!;
  expect(per('acceptedTokens')).toBeGreaterThan(0);
  expect(per('generatedSequences')).toBe(3 * per('generateSteps'));
});

for (const kind of KINDS) {
  test(`${kind.name}: none, as its KV can't always be taken back`, async () => {
    const prompt = noise(1, 60);
    const options = { sampling: { temperature: 0 }, maxTokens: 200, ignoreEog: true };
    const replies = [];
    for (const speculation of ['auto', 'off'] as const) {
      const model = await load(kind, { speculation });
      replies.push(await (await model.createSession()).complete([...prompt, ...prompt, ...prompt], options));
    }
    expect(said(replies[0]!)).toEqual(said(replies[1]!));
    expect(replies[0]!.usage.draftedTokens).toBe(0);
  });
}
