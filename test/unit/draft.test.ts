import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { afterAll, expiredBy, keys } from '../../lib/stores/tables.js';
import { Draft, type Key, type View } from '../../lib/stores/view.js';

const text = (value: Buffer | undefined): string | undefined => value?.toString();

function viewOf(entries: Record<Key, string>): View {
  const map = new Map(Object.entries(entries).map(([key, value]) => [key, Buffer.from(value)]));
  return {
    get: (key) => map.get(key),
    range: (from, below, limit) =>
      [...map]
        .filter(([key]) => key >= from && key < below)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit),
  };
}

describe('a draft', () => {
  test('shows what is below it, and what was changed', () => {
    const draft = new Draft(viewOf({ a: '1', b: '2', c: '3', d: '4' }));
    draft.put('bb', Buffer.from('new'));
    draft.put('c', Buffer.from('changed'));
    draft.remove('a');
    expect(['a', 'b', 'bb', 'c'].map((key) => text(draft.get(key)))).toEqual([undefined, '2', 'new', 'changed']);
    const range = (from: Key, below: Key, limit: number): string =>
      draft
        .range(from, below, limit)
        .map(([key, value]) => `${key}=${String(value)}`)
        .join();
    expect(range('a', 'e', 9)).toBe('b=2,bb=new,c=changed,d=4');
    expect(range('a', 'd', 2)).toBe('b=2,bb=new');
    expect(range('bb', 'c', 9)).toBe('bb=new');
  });

  test('reads as many entries more as it has removed, no others', () => {
    const limits: number[] = [];
    const base = viewOf({ a: '1', b: '2', c: '3', d: '4', e: '5' });
    const draft = new Draft({
      ...base,
      range: (from, below, limit) => {
        limits.push(limit);
        return base.range(from, below, limit);
      },
    });
    for (const key of ['a', 'b', 'z']) draft.remove(key);
    for (const key of ['ca', 'cb', 'cc', 'e']) draft.put(key, Buffer.from('new'));
    const keysOf = (limit: number): Key[] => draft.range('a', 'f', limit).map(([key]) => key);
    expect(keysOf(1)).toEqual(['c']);
    expect(keysOf(4)).toEqual(['c', 'ca', 'cb', 'cc']);
    expect(keysOf(9)).toEqual(['c', 'ca', 'cb', 'cc', 'd', 'e']);
    expect(limits).toEqual([3, 6, 11]);
  });

  test('an attempt that throws leaves nothing, one that does not leaves all', () => {
    const draft = new Draft(viewOf({ a: '1' }));
    const attempt = (error?: Error) => (inner: Draft) => {
      inner.put('b', Buffer.from('2'));
      inner.remove('a');
      expect(text(inner.get('b'))).toBe('2');
      if (error) throw error;
      return 'result';
    };
    expect(() => draft.attempt(attempt(new Error('no')))).toThrow('no');
    expect([...draft.changes]).toEqual([]);
    expect(draft.bytes).toBe(0);
    expect(draft.attempt(attempt())).toBe('result');
    expect(draft.range('a', 'z', 9).map(([key]) => key)).toEqual(['b']);
    expect(draft.bytes).toBe(1);
  });
});

describe('keys', () => {
  const ids = fc.string({ unit: 'binary', maxLength: 12 });

  test('sort as ids do, also half pairs', () => {
    const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 6 });
    const any = fc.oneof(
      ids,
      units.map((codes) => String.fromCharCode(...codes)),
    );
    fc.assert(
      fc.property(any, any, (a, b) => {
        expect(keys.listed(a) < keys.listed(b)).toBe(a < b);
      }),
    );
  });

  test('sort as expiries do', () => {
    const times = fc.double({ noNaN: true });
    fc.assert(
      fc.property(times, times, ids, ids, (a, b, id, other) => {
        const [from, below] = expiredBy(a);
        const key = keys.expiry(b, id);
        // -0 and 0 are two keys of one time.
        if (a !== b) expect(key >= from && key < below).toBe(b <= a);
        if (a < b) expect(keys.expiry(a, other) < key).toBe(true);
      }),
    );
  });

  test('what begins with a key comes before the first one after all of them', () => {
    for (const prefix of ['l', 'la', 'la\u00ff', 'l\u00ff\u00ff']) {
      expect(`${prefix}\u00ff\u00ff\u00ff` < afterAll(prefix)).toBe(true);
      expect(afterAll(prefix).startsWith(prefix)).toBe(false);
    }
    expect(afterAll('la\u00ff')).toBe('lb');
  });
});
