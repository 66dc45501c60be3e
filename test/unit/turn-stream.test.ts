import fc from 'fast-check';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { TurnSource, type Turn } from '../../lib/turn.js';
import type { Piece } from '../../lib/types.js';
import { collect, piece, reply, tick } from '../support/turns.js';

let cancel: ReturnType<typeof vi.fn<() => void>>;
let source: TurnSource;
let turn: Turn;
beforeEach(() => {
  cancel = vi.fn();
  source = new TurnSource(cancel);
  turn = source.turn;
});

describe('as a web stream', () => {
  test('gives all pieces, then closes', async () => {
    const stream = turn.toReadableStream();
    source.push(piece('a'));
    source.push(piece('b'));
    source.resolve(reply('ab'));
    expect(await collect(stream)).toEqual(['a', 'b']);
  });

  test('takes a piece when one is read, not before', async () => {
    const iterate = turn[Symbol.asyncIterator].bind(turn);
    const iterator = iterate();
    const next = vi.fn(iterator.next.bind(iterator));
    vi.spyOn(turn, Symbol.asyncIterator).mockReturnValue({ ...iterator, next });
    for (const text of ['a', 'b', 'c']) source.push(piece(text));
    const reader = turn.toReadableStream().getReader();
    await tick();
    expect(next).not.toHaveBeenCalled();
    expect((await reader.read()).value?.text).toBe('a');
    await tick();
    expect(next).toHaveBeenCalledTimes(1);
  });

  test('cancelling it cancels the turn, also while it waits', async () => {
    const reader = turn.toReadableStream().getReader();
    const read = reader.read();
    await tick();
    await reader.cancel();
    expect(cancel).toHaveBeenCalledOnce();
    expect((await read).done).toBe(true);
  });

  test('a failed turn errors it', async () => {
    source.push(piece('a'));
    source.reject(new Error('failed'));
    const reader = turn.toReadableStream().getReader();
    expect((await reader.read()).value?.text).toBe('a');
    await expect(reader.read()).rejects.toThrow('failed');
  });
});

test('property: whatever the rhythm of both sides, every piece comes once and in order', async () => {
  const steps = fc.array(fc.constantFrom('push', 'take', 'tick'), { maxLength: 60, size: 'max' });
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), async (course, fails) => {
      const owner = new TurnSource(() => undefined);
      const iterator = owner.turn[Symbol.asyncIterator]();
      const taken: Promise<IteratorResult<Piece, undefined>>[] = [];
      let pushed = 0;
      for (const step of course) {
        if (step === 'push') owner.push(piece(String(pushed++)));
        if (step === 'take') taken.push(iterator.next());
        if (step === 'tick') await tick();
      }
      const early = Promise.allSettled(taken);
      if (fails) owner.reject(new Error('failed'));
      else owner.resolve(reply('x'));
      while (taken.length < pushed + 2) taken.push(iterator.next());
      const results = await Promise.allSettled(taken);
      await early;
      const seen = results.map((result) => {
        if (result.status === 'rejected') return 'error';
        return result.value.done === true ? 'done' : result.value.value.text;
      });
      const expected = Array.from({ length: pushed }, (_, i) => String(i));
      if (fails) expected.push('error');
      while (expected.length < seen.length) expected.push('done');
      expect(seen).toEqual(expected);
    }),
  );
});
