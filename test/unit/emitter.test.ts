import { afterEach, beforeEach, expect, test, vi, type MockInstance } from 'vitest';
import { Emitter } from '../../lib/emitter.js';
import { tick } from '../support/turns.js';

let warn: MockInstance<typeof process.emitWarning>;
beforeEach(() => void (warn = vi.spyOn(process, 'emitWarning').mockReturnValue()));
afterEach(() => warn.mockRestore());

test.each<[string, unknown, string]>([
  ['an Error', new Error('mine'), 'Error: mine'],
  ['a text', 'mine', "'mine'"],
  ['nothing', undefined, 'undefined'],
  ['what no text can be made of', Object.create(null), '[Object: null prototype] {}'],
  ['a symbol', Symbol('mine'), 'Symbol(mine)'],
])('a listener that throws %s, at once or later, is a warning and disturbs nobody', async (_, thrown, message) => {
  const emitter = new Emitter<{ turn: number }>();
  const heard: number[] = [];
  emitter.on('turn', () => {
    throw thrown;
  });
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- listeners do that
  const later: () => unknown = () => Promise.reject(thrown);
  emitter.on('turn', later);
  emitter.on('turn', (n) => heard.push(n));
  emitter.emit('turn', 1);
  await tick();
  expect(heard).toEqual([1]);
  expect(warn.mock.calls.map(([warning]) => String(warning).split('\n')[0])).toEqual([message, message]);
});
