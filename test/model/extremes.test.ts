/** Options at the ends of their ranges: what can't be is refused by name, everything else works. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { generateModel } from '../../bench/generate-model.mjs';
import { SHAPES } from '../../bench/shapes.mjs';
import { loadModel, type LlamaError } from '../../lib/index.js';
import { failure } from '../support/directory.js';
import { RECALL } from '../support/recall.js';

test.each([
  ['unified', 1, 1],
  ['unified', 4, 1],
  ['unified', 8, 32],
  ['streams', 8, 32],
] as const)('a pool of a few cells, %s: contextTokens %i, %i sessions', async (kvLayout, contextTokens, sessions) => {
  const model = await loadModel(RECALL, { threads: 1, contextTokens, kvLayout });
  onTestFinished(() => model.close());
  const open = await Promise.all(Array.from({ length: sessions }, () => model.createSession()));
  for (const message of ['Hi.', 'My name is Ada.', 'Count from 3 to 9.', 'Count from 3 to 9.']) {
    const ended = await Promise.allSettled(open.map((session) => session.send(message)));
    for (const each of ended) {
      // What does not fit is told so.
      if (each.status === 'rejected') expect((each.reason as LlamaError).code).toBe('CONTEXT_FULL');
    }
  }
});

describe('kvType', () => {
  test.each(['q8_0', 'q4_0'] as const)('%s that does not divide the heads of a model is refused', async (kvType) => {
    const folder = await mkdtemp(join(tmpdir(), 'extremes-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, 'heads-of-80.gguf');
    generateModel({ ...SHAPES['tiny']!, headDim: 80 }, path);
    const error = await failure(loadModel(path, { threads: 1, contextTokens: 512, kvType }));
    expect(error.code).toBe('NOT_SUPPORTED');
    expect(error.message).toMatch(/kvType '.*' takes blocks of 32 values, and this model's heads have 80\..*'f16'/);
    await (await loadModel(path, { threads: 1, contextTokens: 512 })).close();
  });
});

test('long texts keep nobody waiting who says little', async () => {
  const model = await loadModel(RECALL, { threads: 1 });
  onTestFinished(() => model.close());
  const ended: string[] = [];
  const say = async (who: string, text: string): Promise<void> => {
    const session = await model.createSession({ maxTokens: 1 });
    await session.send(text).catch((error: unknown) => expect((error as LlamaError).code).toBe('CONTEXT_FULL'));
    ended.push(who);
  };
  const text = 'Once there was a small robot. '.repeat(30_000);
  const long = Array.from({ length: 5 }, () => say('long', text)); // as many as there are threads for it, and one
  await Promise.all([...long, say('short', 'Hi.')]);
  expect(ended).toEqual(['short', 'long', 'long', 'long', 'long', 'long']);
});
