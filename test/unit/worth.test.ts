import { expect, test } from 'vitest';
import { RestoreWorth } from '../../lib/worth.js';

test('what was never measured is tried', () => {
  const worth = new RestoreWorth(false);
  expect(worth.pays({ ram: 1, store: 1 }, 1)).toBe(true);
  worth.computed(100, 100);
  expect(worth.pays({ ram: 0, store: 10 }, 1)).toBe(true);
});

test('KV is brought back when that is expected to be faster than computing it', () => {
  const worth = new RestoreWorth(false);
  worth.computed(100, 100); // 1 ms a token
  worth.restored('ram', 10, 20); // 2 ms a page
  worth.restored('store', 1, 50);
  expect(worth.pays({ ram: 1, store: 0 }, 3)).toBe(true);
  expect(worth.pays({ ram: 1, store: 0 }, 1)).toBe(false);
  expect(worth.pays({ ram: 2, store: 1 }, 50)).toBe(false);
  expect(worth.pays({ ram: 2, store: 1 }, 60)).toBe(true);
});

test('a tier that was slow once is tried again after a while', () => {
  const worth = new RestoreWorth(false);
  worth.computed(1, 1);
  worth.restored('store', 1, 4);
  let refusals = 0;
  while (!worth.pays({ ram: 0, store: 1 }, 2)) refusals++;
  expect(refusals).toBeGreaterThan(10);
  expect(refusals).toBeLessThan(100);
});

test('measurements of nothing change nothing', () => {
  const worth = new RestoreWorth(false);
  worth.computed(0, 5);
  worth.restored('ram', 0, 5);
  expect(worth.pays({ ram: 1e9, store: 1e9 }, 1)).toBe(true);
});

test('who wants it always gets it always', () => {
  const worth = new RestoreWorth(true);
  worth.computed(1, 1);
  worth.restored('ram', 1, 1000);
  expect(worth.pays({ ram: 1, store: 0 }, 1)).toBe(true);
});
