import { afterEach, beforeEach, describe, expect, expectTypeOf, test, vi } from 'vitest';
import { TurnSource, type Turn } from '../../lib/turn.js';
import type { Piece, Reply } from '../../lib/types.js';
import { collect, piece, reply, tick } from '../support/turns.js';

let cancel: ReturnType<typeof vi.fn<() => void>>;
let source: TurnSource;
let turn: Turn;
const unhandled = vi.fn();
beforeEach(() => {
  cancel = vi.fn();
  source = new TurnSource(cancel);
  turn = source.turn;
  unhandled.mockClear();
  process.on('unhandledRejection', unhandled);
});
afterEach(async () => {
  await tick();
  process.off('unhandledRejection', unhandled);
  expect(unhandled).not.toHaveBeenCalled();
});

describe('awaiting', () => {
  test('gives the reply, as often as one likes, before and after the end', async () => {
    const early = Promise.all([turn, turn.then((given) => given.text)]);
    source.push(piece('a'));
    source.resolve(reply('a'));
    expect(await early).toEqual([reply('a'), 'a']);
    expect(await turn).toEqual(reply('a'));
    expectTypeOf(await turn).toEqualTypeOf<Reply>();
  });

  test('rejects when the turn failed, each time', async () => {
    const error = new Error('failed');
    source.reject(error);
    await expect(turn).rejects.toBe(error);
    await expect(turn).rejects.toBe(error);
    expect(await turn.catch((caught: unknown) => caught)).toBe(error);
    const ended = vi.fn();
    await expect(turn.finally(ended)).rejects.toBe(error);
    expect(ended).toHaveBeenCalledOnce();
  });

  test('catch and finally of a turn that is good', async () => {
    const ended = vi.fn();
    source.resolve(reply('a'));
    expect(await turn.catch(() => 'never')).toEqual(reply('a'));
    expect(await turn.finally(ended)).toEqual(reply('a'));
    expect(ended).toHaveBeenCalledOnce();
  });
});

describe('iterating', () => {
  test('gives the pieces that came and waits for those to come', async () => {
    source.push(piece('a'));
    source.push(piece('b'));
    const texts = collect(turn);
    await tick();
    source.push(piece('c'));
    await tick();
    source.push(piece('d'));
    source.resolve(reply('abcd'));
    expect(await texts).toEqual(['a', 'b', 'c', 'd']);
    expect(cancel).not.toHaveBeenCalled();
  });

  test('adjacent pieces are not merged, and are the same objects', async () => {
    const pieces = [piece('a'), piece(''), piece('b')];
    for (const each of pieces) source.push(each);
    source.resolve(reply('ab'));
    const got: Piece[] = [];
    for await (const each of turn) got.push(each);
    expect(got).toHaveLength(3);
    for (const [i, each] of got.entries()) expect(each).toBe(pieces[i]);
  });

  test('after it was awaited still gives all', async () => {
    source.push(piece('a'));
    source.resolve(reply('a'));
    await turn;
    expect(await collect(turn)).toEqual(['a']);
  });

  test('and awaiting at the same time', async () => {
    const both = Promise.all([collect(turn), turn]);
    source.push(piece('a'));
    source.resolve(reply('a'));
    expect(await both).toEqual([['a'], reply('a')]);
  });

  test('twice is a TypeError that says what to do', async () => {
    source.resolve(reply(''));
    await collect(turn);
    expect(() => turn[Symbol.asyncIterator]()).toThrow(TypeError);
    await expect(collect(turn)).rejects.toThrow(/iterated once.*await it for the whole text/);
    expect(() => turn.toReadableStream()).toThrow(TypeError);
  });

  test('a turn without pieces ends at once', async () => {
    const texts = collect(turn);
    source.resolve(reply(''));
    expect(await texts).toEqual([]);
  });

  test('several takers at once are served in order', async () => {
    const iterator = turn[Symbol.asyncIterator]();
    const results = Promise.all([iterator.next(), iterator.next(), iterator.next(), iterator.next()]);
    source.push(piece('a'));
    source.push(piece('b'));
    source.resolve(reply('ab'));
    expect((await results).map(({ done, value }) => (done === true ? 'done' : value.text))).toEqual([
      'a',
      'b',
      'done',
      'done',
    ]);
  });
});

describe('failing', () => {
  test('the loop throws after the last piece, the promise rejects', async () => {
    const error = new Error('failed');
    source.push(piece('a'));
    source.reject(error);
    const texts: string[] = [];
    const loop = (async () => {
      for await (const { text } of turn) texts.push(text);
    })();
    await expect(loop).rejects.toBe(error);
    expect(texts).toEqual(['a']);
    await expect(turn).rejects.toBe(error);
    expect(cancel).not.toHaveBeenCalled();
  });

  test('a loop that waits throws', async () => {
    const loop = collect(turn);
    await tick();
    source.reject(new Error('failed'));
    await expect(loop).rejects.toThrow('failed');
  });

  test('of several takers one gets the error, the others the end', async () => {
    const iterator = turn[Symbol.asyncIterator]();
    const results = Promise.allSettled([iterator.next(), iterator.next(), iterator.next()]);
    source.push(piece('a'));
    source.reject(new Error('failed'));
    expect(
      (await results).map((result) => (result.status === 'rejected' ? 'error' : (result.value.done ?? false))),
    ).toEqual([false, 'error', true]);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  // afterEach looks for unhandled rejections in all of these.
  test('only iterated: no unhandled rejection', async () => {
    source.reject(new Error('failed'));
    await expect(collect(turn)).rejects.toThrow('failed');
    await tick();
  });

  test('neither awaited nor iterated: no unhandled rejection', async () => {
    source.reject(new Error('failed'));
    await tick();
  });

  test('left early, then failed: no unhandled rejection', async () => {
    source.push(piece('a'));
    for await (const _ of turn) break;
    source.reject(new Error('failed'));
    await tick();
  });

  test('but a promise derived of it reports as any does', async () => {
    void turn.then(() => undefined);
    source.reject(new Error('failed'));
    await tick();
    expect(unhandled).toHaveBeenCalledOnce();
    unhandled.mockClear();
  });
});

describe('cancelling', () => {
  test('asks the owner once, and the reply says so', async () => {
    cancel.mockImplementation(() => {
      source.resolve(reply('a', 'cancelled'));
    });
    turn.cancel();
    turn.cancel();
    expect(cancel).toHaveBeenCalledOnce();
    expect((await turn).finishReason).toBe('cancelled');
  });

  test('again before the owner has ended it: still once', () => {
    turn.cancel();
    turn.cancel();
    expect(cancel).toHaveBeenCalledOnce();
  });

  test('a turn that has ended is not cancelled', async () => {
    source.resolve(reply('a'));
    turn.cancel();
    for await (const _ of turn) break;
    expect(cancel).not.toHaveBeenCalled();
    expect((await turn).finishReason).toBe('stop');
  });

  test('break cancels, quietly; later pieces are dropped, the reply comes', async () => {
    source.push(piece('a'));
    source.push(piece('b'));
    for await (const { text } of turn) {
      expect(text).toBe('a');
      break;
    }
    expect(cancel).toHaveBeenCalledOnce();
    source.push(piece('c'));
    source.resolve(reply('abc', 'cancelled'));
    expect((await turn).text).toBe('abc');
  });

  test('so does a throw in the loop', async () => {
    source.push(piece('a'));
    const loop = (async () => {
      for await (const _ of turn) throw new Error('mine');
    })();
    await expect(loop).rejects.toThrow('mine');
    expect(cancel).toHaveBeenCalledOnce();
  });

  test('a taker that waits is let go when the iterator returns', async () => {
    const iterator = turn[Symbol.asyncIterator]();
    const waiting = iterator.next();
    await iterator.return?.();
    expect(await waiting).toEqual({ done: true, value: undefined });
    source.reject(new Error('failed'));
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(cancel).toHaveBeenCalledOnce();
  });
});

describe('the owner', () => {
  test('ends it once; what comes after is ignored', async () => {
    source.push(piece('a'));
    source.resolve(reply('a'));
    expect(source.ended).toBe(true);
    source.push(piece('b'));
    source.resolve(reply('b'));
    source.reject(new Error('late'));
    expect(await turn).toEqual(reply('a'));
    expect(await collect(turn)).toEqual(['a']);
  });

  test('is not asked to cancel what it rejected', async () => {
    source.reject(new Error('failed'));
    expect(source.ended).toBe(true);
    turn.cancel();
    expect(cancel).not.toHaveBeenCalled();
    await turn.catch(() => undefined);
  });
});
