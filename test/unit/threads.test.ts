import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { computeThreads } from '../../lib/threads.js';

test('as many compute threads as were asked for, but no more than there are processors', async () => {
  const most = availableParallelism();
  expect(await computeThreads(1)).toBe(1);
  expect(await computeThreads(most)).toBe(most);
  for (const more of [most + 1, 512]) expect(await computeThreads(more)).toBe(most);
});

test('0: the cores', async () => {
  const cores = await computeThreads(0);
  expect(cores).toBeGreaterThanOrEqual(1);
  expect(cores).toBeLessThanOrEqual(availableParallelism());
});
