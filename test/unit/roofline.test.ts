/** What the bench holds a step against, worked out by hand for a model of which all is known. */
import { expect, test } from 'vitest';
import { namedModel } from '../../bench/generate-model.mjs';
import { fastestStepMs, needs } from '../../bench/roofline.mjs';

test('what a model asks of the machine is in its header', () => {
  const { weights, weightBytes, outputWeights, kvBytes } = needs(namedModel('tiny'));
  // 2 layers of width 128: q and o 128 x 128, k and v 128 x 64, three of the feed-forward 128 x 256; an output layer of its own.
  const layer = 2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 256;
  expect(outputWeights).toBe(128 * 1024);
  expect(weights).toBe(2 * layer + outputWeights); // the embedding's rows are looked up, not multiplied
  expect(weightBytes).toBe(2 * weights);
  expect(kvBytes).toBe(2 * 2 * 64 * 2); // layers, K and V, width of the one head, f16
});

test('a step takes as long as what takes longer: reading or multiplying', () => {
  const machine = { bandwidth: 1e9, triad: 1e9, flops: 1e12, weightBytes: 1e6, weights: 1e6, kvBytes: 1000 };
  expect(fastestStepMs(machine, 1, 0)).toBeCloseTo(1);
  expect(fastestStepMs(machine, 1, 1000)).toBeCloseTo(2);
  expect(fastestStepMs(machine, 1000, 0)).toBeCloseTo(2);
});
