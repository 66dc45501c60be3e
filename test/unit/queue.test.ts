import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TurnQueue, type QueueEntry } from '../../lib/queue.js';

let clock = 0;
const now = (): number => clock;
const make = (limit = 1024): TurnQueue<string> => {
  clock = 0;
  return new TurnQueue<string>({ limit, agingMs: 1000, now });
};
const add = (queue: TurnQueue<string>, key: string, value: string, priority = 0): QueueEntry<string> =>
  queue.add({ key, value, priority });

describe('order', () => {
  test('first come, first served among equals, also of the same instant', () => {
    const queue = make();
    for (const key of ['c', 'a', 'b']) add(queue, key, key);
    expect([queue.next()?.value, queue.next()?.value, queue.next()?.value, queue.next()]).toEqual([
      'c',
      'a',
      'b',
      undefined,
    ]);
  });

  test('higher priority goes first', () => {
    const queue = make();
    add(queue, 'low', 'low', -1);
    add(queue, 'mid', 'mid');
    add(queue, 'high', 'high', 0.5);
    expect([queue.next()?.value, queue.next()?.value, queue.next()?.value]).toEqual(['high', 'mid', 'low']);
  });

  test('one of a key at a time, in order, whatever their priorities', () => {
    const queue = make();
    add(queue, 'a', 'a1');
    add(queue, 'a', 'a2', 1000);
    add(queue, 'b', 'b1');
    expect(queue.next()?.value).toBe('a1');
    expect(queue.next()?.value).toBe('b1');
    expect(queue.next()).toBeUndefined();
    queue.release('a');
    expect(queue.next()?.value).toBe('a2');
    queue.release('a');
    expect(queue.next()).toBeUndefined();
  });

  test('what is added to a busy key waits for its release', () => {
    const queue = make();
    add(queue, 'a', 'a1');
    queue.next();
    add(queue, 'a', 'a2');
    expect(queue.next()).toBeUndefined();
    queue.release('a');
    expect(queue.next()?.value).toBe('a2');
  });

  test('waiting raises the priority by one with every agingMs', () => {
    for (const [waited, first] of [
      [4999, 'urgent'],
      [5001, 'patient'],
    ] as const) {
      const queue = make();
      add(queue, 'p', 'patient', 0);
      clock = waited;
      add(queue, 'u', 'urgent', 5);
      expect(queue.next()?.value).toBe(first);
    }
  });

  test('an entry knows when it was added', () => {
    const queue = make();
    clock = 42;
    expect(add(queue, 'a', 'x', 3)).toMatchObject({ key: 'a', value: 'x', priority: 3, queuedAt: 42 });
  });

  test('by default five seconds are worth one step, and the clock is real', () => {
    const queue = new TurnQueue<string>();
    const { queuedAt } = queue.add({ key: 'a', priority: 0, value: 'x' });
    expect(Math.abs(queuedAt - performance.now())).toBeLessThan(1000);
    clock = 0;
    const aging = new TurnQueue<string>({ now });
    aging.add({ key: 'a', priority: 0, value: 'patient' });
    clock = 4999;
    aging.add({ key: 'b', priority: 1, value: 'urgent' });
    expect(aging.next()?.value).toBe('urgent');
    clock = 0;
    const other = new TurnQueue<string>({ now });
    other.add({ key: 'a', priority: 0, value: 'patient' });
    clock = 5001;
    other.add({ key: 'b', priority: 1, value: 'urgent' });
    expect(other.next()?.value).toBe('patient');
  });

  test('keys can be objects', () => {
    const queue = new TurnQueue<number, object>();
    const [a, b] = [{}, {}];
    queue.add({ key: a, priority: 0, value: 1 });
    queue.add({ key: b, priority: 0, value: 2 });
    queue.add({ key: a, priority: 0, value: 3 });
    expect([queue.next()?.value, queue.next()?.value, queue.next()]).toEqual([1, 2, undefined]);
  });
});

describe('bounds', () => {
  test('above the limit it is QUEUE_FULL, which says how to go on; below it goes on', () => {
    const queue = make(2);
    add(queue, 'a', '1');
    add(queue, 'a', '2');
    expect(() => add(queue, 'b', '3')).toThrow(expect.objectContaining({ code: 'QUEUE_FULL' }));
    expect(() => add(queue, 'b', '3')).toThrow(/maxQueued; send again later/);
    expect(queue.size).toBe(2);
    queue.next();
    add(queue, 'b', '3');
    expect(queue.size).toBe(2);
  });

  test('what is unbounded neither counts nor is refused', () => {
    const queue = make(1);
    queue.add({ key: 'a', priority: 0, value: 'free', unbounded: true });
    add(queue, 'b', 'counts');
    const free = queue.add({ key: 'c', priority: 0, value: 'free', unbounded: true });
    expect(queue.size).toBe(1);
    expect(queue.remove(free)).toBe(true);
    expect(queue.next()?.value).toBe('free');
    expect(queue.size).toBe(1);
    expect(queue.next()?.value).toBe('counts');
    expect(queue.size).toBe(0);
  });
});

describe('admissible', () => {
  test('the best is asked, and nobody overtakes it, however many wait', () => {
    const queue = make();
    for (const key of ['a', 'b', 'c']) add(queue, key, key);
    const asked: string[] = [];
    const refused = queue.next(({ value }) => {
      asked.push(value);
      return value === 'b';
    });
    expect([refused, asked]).toEqual([undefined, ['a']]);
    expect([queue.next()?.value, queue.next()?.value, queue.next()?.value]).toEqual(['a', 'b', 'c']);
  });

  test('what is unbounded is not asked; it goes in its turn, or past those that are refused', () => {
    const queue = make();
    add(queue, 'a', 'a');
    queue.add({ key: 'b', priority: 0, value: 'b', unbounded: true });
    add(queue, 'c', 'c');
    queue.add({ key: 'd', priority: 0, value: 'd', unbounded: true });
    expect([queue.next()?.value, queue.next()?.value]).toEqual(['a', 'b']);
    const refuse = (): boolean => false;
    expect([queue.next(refuse)?.value, queue.next(refuse)]).toEqual(['d', undefined]);
    expect(queue.next()?.value).toBe('c');
  });
});

describe('remove, release and iteration', () => {
  test('what is removed never comes, from the head, the middle and the tail', () => {
    const queue = make();
    const [one, two, three, four] = ['1', '2', '3', '4'].map((value) => add(queue, 'a', value));
    expect(queue.remove(three!)).toBe(true);
    expect(queue.remove(one!)).toBe(true);
    expect(queue.remove(one!)).toBe(false);
    expect(queue.size).toBe(2);
    expect(queue.next()).toBe(two);
    expect(queue.remove(two!)).toBe(false);
    expect(queue.remove(four!)).toBe(true);
    queue.release('a');
    expect(queue.next()).toBeUndefined();
    expect(queue.size).toBe(0);
  });

  test('removing what waits behind a busy key leaves the others alone', () => {
    const queue = make();
    add(queue, 'a', 'a1');
    queue.next();
    const [a2, a3] = ['a2', 'a3'].map((value) => add(queue, 'a', value));
    add(queue, 'b', 'b1');
    expect(queue.remove(a2!)).toBe(true);
    expect(queue.next()?.value).toBe('b1');
    expect(queue.remove(a3!)).toBe(true);
    add(queue, 'a', 'a4');
    expect(queue.next()).toBeUndefined();
    queue.release('a');
    expect(queue.next()?.value).toBe('a4');
  });

  test('a release of a key that is not busy does nothing, twice is once', () => {
    const queue = make();
    queue.release('nobody');
    add(queue, 'a', '1');
    queue.release('a');
    expect(queue.next()?.value).toBe('1');
    add(queue, 'a', '2');
    queue.release('a');
    queue.release('a');
    expect(queue.next()?.value).toBe('2');
    expect(queue.next()).toBeUndefined();
  });

  test('all that wait can be removed on the way', () => {
    const queue = make();
    for (const value of ['a1', 'b1', 'a2', 'b2']) add(queue, value.slice(0, 1), value);
    queue.next();
    const seen: string[] = [];
    for (const entry of queue) {
      seen.push(entry.value);
      expect(queue.remove(entry)).toBe(true);
    }
    expect(seen).toEqual(['a2', 'b1', 'b2']);
    expect(queue.size).toBe(0);
    expect([...queue]).toEqual([]);
  });

  test('keys leave nothing behind', () => {
    const queue = make();
    for (let i = 0; i < 3000; i++) {
      const entry = add(queue, `key ${String(i)}`, 'x');
      if (i % 3 === 0) queue.remove(entry);
      else queue.release(queue.next()?.key ?? '');
    }
    expect([...queue]).toEqual([]);
    expect(queue.size).toBe(0);
  });
});

test('property: nobody starves under a stream of higher priorities', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 999 }), (difference, interval) => {
      const queue = make();
      add(queue, 'patient', 'patient', 0);
      // One urgent entry comes whenever one is served: without aging the patient one would wait for ever.
      for (let i = 0; clock <= difference * 1000 + interval; i++) {
        add(queue, `urgent ${String(i)}`, 'urgent', difference);
        const entry = queue.next();
        if (entry?.value === 'patient') return;
        queue.release(entry?.key ?? '');
        clock += interval;
      }
      expect.unreachable('the patient one was never served');
    }),
  );
});
