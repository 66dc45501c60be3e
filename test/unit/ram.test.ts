import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RamTier, type RamPage } from '../../lib/ram.js';

const page = (bytes: number, ours = true): RamPage => ({ bytes: new Uint8Array(bytes), ours });

test('what is put can be got, and deleted', () => {
  const ram = new RamTier(100);
  const one = page(10, false);
  expect(ram.put('a', one)).toEqual([]);
  expect(ram.get('a')).toBe(one);
  expect([ram.has('a'), ram.has('b'), ram.get('b')]).toEqual([true, false, undefined]);
  expect(ram.bytes).toBe(10);
  ram.delete('b');
  ram.delete('a');
  ram.delete('a');
  expect([ram.has('a'), ram.bytes]).toEqual([false, 0]);
});

test('a page that is put again takes the place of the first', () => {
  const ram = new RamTier(100);
  ram.put('a', page(60));
  expect(ram.put('a', page(70))).toEqual([]);
  expect(ram.bytes).toBe(70);
});

test('beyond the budget the one used longest ago goes first, and no more than must', () => {
  const ram = new RamTier(30);
  for (const key of ['a', 'b', 'c']) expect(ram.put(key, page(10))).toEqual([]);
  ram.get('a');
  ram.has('b'); // no use
  expect(ram.put('d', page(1))).toEqual(['b']);
  expect(ram.put('e', page(20))).toEqual(['c', 'a']);
  expect([ram.has('d'), ram.has('e'), ram.bytes]).toEqual([true, true, 21]);
});

test('putting is a use', () => {
  const ram = new RamTier(30);
  for (const key of ['a', 'b', 'c', 'a']) ram.put(key, page(10));
  expect(ram.put('d', page(10))).toEqual(['b']);
});

test('a page larger than the budget goes alone: it makes nobody leave', () => {
  const ram = new RamTier(30);
  ram.put('a', page(10));
  ram.put('b', page(10));
  expect(ram.put('large', page(31))).toEqual(['large']);
  expect([ram.has('a'), ram.has('b'), ram.has('large'), ram.bytes]).toEqual([true, true, false, 20]);
  expect(ram.put('a', page(31))).toEqual(['a']);
  expect([ram.has('a'), ram.bytes]).toEqual([false, 10]);
});

test('a budget of nothing keeps nothing', () => {
  const ram = new RamTier(0);
  expect(ram.put('a', page(1))).toEqual(['a']);
  expect([ram.has('a'), ram.bytes]).toEqual([false, 0]);
});

test('property: it never holds more than its budget, and knows how much it holds', () => {
  const key = fc.constantFrom('a', 'b', 'c', 'd');
  const operation = fc.oneof(
    fc.record({ do: fc.constant('put' as const), key, bytes: fc.nat(40) }),
    fc.record({ do: fc.constantFrom('get' as const, 'delete' as const), key, bytes: fc.constant(0) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const ram = new RamTier(50);
      const model = new Map<string, number>();
      for (const { do: name, key, bytes } of operations) {
        if (name === 'put') {
          model.set(key, bytes);
          for (const evicted of ram.put(key, page(bytes))) model.delete(evicted);
        } else {
          ram[name](key);
          if (name === 'delete') model.delete(key);
        }
        for (const each of ['a', 'b', 'c', 'd']) expect(ram.has(each)).toBe(model.has(each));
        expect(ram.bytes).toBe([...model.values()].reduce((sum, size) => sum + size, 0));
        expect(ram.bytes).toBeLessThanOrEqual(50);
      }
    }),
  );
});
