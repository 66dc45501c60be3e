import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { AbortError, fromNative, LlamaError, messageOf } from '../../lib/errors.js';

test('a LlamaError has a name, a code and a cause', () => {
  const cause = new Error('below');
  const error = new LlamaError('STORE_FAILED', 'The disk is full.', { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error.name).toBe('LlamaError');
  expect(error.code).toBe('STORE_FAILED');
  expect(error.message).toBe('The disk is full.');
  expect(error.cause).toBe(cause);
  expect(error.stack).toMatch(/^LlamaError: The disk is full\./);
  expect(Object.keys(error)).toEqual(['code']);
  expect(inspect(error)).toMatch(/code: 'STORE_FAILED'/);
});

test('without a cause there is no cause', () => {
  expect('cause' in new LlamaError('TIMEOUT', 'x')).toBe(false);
});

test('an AbortError is what AbortSignal users look for', () => {
  const error = new AbortError('so far', 'the reason');
  expect(error).toBeInstanceOf(LlamaError);
  expect(error.name).toBe('AbortError');
  expect(error.code).toBe('ABORTED');
  expect(error.partial).toBe('so far');
  expect(error.cause).toBe('the reason');
  expect(error.stack).toMatch(/^AbortError: /);
});

test('a native error with a known code becomes a LlamaError', () => {
  const native = Object.assign(new Error('No room.'), { code: 'CONTEXT_FULL' });
  const error = fromNative(native);
  expect(error).toBeInstanceOf(LlamaError);
  expect(error).toMatchObject({ code: 'CONTEXT_FULL', message: 'No room.', cause: native });
});

test.each([
  ['no code', new Error('what')],
  ['an unknown code', Object.assign(new Error('what'), { code: 'ENOENT' })],
  ['a code that is no string', Object.assign(new Error('what'), { code: 7 })],
  ['the name of an inherited property', Object.assign(new Error('what'), { code: 'toString' })],
])('%s becomes INTERNAL', (_, native) => {
  expect(fromNative(native)).toMatchObject({ code: 'INTERNAL', message: 'what', cause: native });
});

test('a native error keeps its code where vm or jest gave us a realm of our own', () => {
  const native: unknown = runInNewContext("Object.assign(new Error('No room.'), { code: 'CONTEXT_FULL' })");
  expect(native).not.toBeInstanceOf(Error);
  expect(fromNative(native)).toMatchObject({ code: 'CONTEXT_FULL', message: 'No room.', cause: native });
});

test.each<[unknown, string]>([
  [new RangeError('too far'), 'too far'],
  [runInNewContext("new RangeError('too far')"), 'too far'],
  [new DOMException('too late', 'TimeoutError'), 'too late'],
  ['text', 'text'],
  [undefined, 'undefined'],
])('what %s says is "%s"', (thrown, said) => {
  expect(messageOf(thrown)).toBe(said);
});

test('what is no error becomes INTERNAL, what is a LlamaError stays itself', () => {
  expect(fromNative('text')).toMatchObject({ code: 'INTERNAL', message: 'The addon threw text.', cause: 'text' });
  expect(fromNative(undefined)).toMatchObject({ code: 'INTERNAL' });
  const error = new LlamaError('TIMEOUT', 'x');
  expect(fromNative(error)).toBe(error);
});

test('every code says in its documentation when it comes and what to do', async () => {
  const source = await readFile(new URL('../../lib/errors.ts', import.meta.url), 'utf8');
  const documented = [...source.matchAll(/\/\*\* (.+) \*\/\n {2}\| '([A-Z_]+)'/g)].map((match) => match[2]);
  const known = [...source.matchAll(/^ {2}([A-Z_]+): true,$/gm)].map((match) => match[1]);
  expect(documented).toHaveLength(22);
  expect(documented).toEqual(known);
});
