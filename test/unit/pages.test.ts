import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { PageNames } from '../../lib/pages.js';

const tokens = (length: number, first = 0): Int32Array => Int32Array.from({ length }, (_, i) => first + i);
const names = new PageNames('model', 'format', 256);

describe('pages are named by the prefix that they end', () => {
  test('a sequence is cut into full pages and a rest', () => {
    expect(names.of(tokens(600)).map(({ from, to }) => [from, to])).toEqual([
      [0, 256],
      [256, 512],
      [512, 600],
    ]);
    expect(names.of(tokens(0))).toEqual([]);
  });

  test('a rest of fewer than 16 tokens is not worth a page', () => {
    expect(names.of(tokens(256 + 15))).toHaveLength(1);
    expect(names.of(tokens(256 + 16))).toHaveLength(2);
  });

  test('sequences that begin alike name the same pages, up to where they differ', () => {
    const one = names.of(tokens(1024));
    const other = names.of(Int32Array.from([...tokens(700), 9999, ...tokens(323, 701)]));
    expect(other.slice(0, 2)).toEqual(one.slice(0, 2));
    // The last page is of the same tokens, and has another past.
    for (const i of [2, 3]) expect(other[i]?.key).not.toBe(one[i]?.key);
  });

  test.each([
    ['another model', new PageNames('other', 'format', 256)],
    ['another format', new PageNames('model', 'other', 256)],
    ['names that only join to the same', new PageNames('modelformat', '', 256)],
  ])('%s names other pages', (_, other) => {
    expect(other.of(tokens(256))[0]?.key).not.toBe(names.of(tokens(256))[0]?.key);
  });

  test('keys are the same on every machine', () => {
    const sha = (...parts: Uint8Array[]): Buffer => {
      const hash = createHash('sha256');
      for (const part of parts) hash.update(part);
      return hash.digest();
    };
    const little = Buffer.alloc(16 * 4);
    for (let i = 0; i < 16; i++) little.writeInt32LE(i, 4 * i);
    const expected = sha(sha(Buffer.from('["model","format"]')), little).toString('hex');
    expect(names.of(tokens(16))[0]?.key).toBe(expected);
  });

  test('where ranges can not be taken, a sequence is one page', () => {
    const whole = new PageNames('model', 'format', Infinity);
    expect(whole.of(tokens(5000)).map(({ from, to }) => [from, to])).toEqual([[0, 5000]]);
    expect(whole.of(tokens(15))).toEqual([]);
  });
});
