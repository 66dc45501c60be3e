import { describe, expect, test } from 'vitest';
import { Conversation } from '../../lib/conversation.js';
import { infoOf, sessionInfo } from '../../lib/info.js';
import { resolveSessionOptions } from '../../lib/options.js';
import type { Message, SessionOptions } from '../../lib/types.js';

const user = (content: string): Message => ({ role: 'user', content });
const conversation = (options: SessionOptions = {}): Conversation =>
  new Conversation(resolveSessionOptions({ id: 'alice', ...options }), 1000);
const summaryOf = (content: string): string =>
  sessionInfo('alice', infoOf(conversation({ messages: [user(content)] })), undefined).summary;

test('what a listing tells of a session comes out as it went in', () => {
  const messages: Message[] = [{ role: 'system', content: 'S' }, user('hé 😀'), user('more')];
  const alice = conversation({ messages, metadata: { a: 'b', ['__proto__']: 'c' } });
  alice.modifiedAt = 2000;
  alice.tokens = Int32Array.of(1, 2, 3);
  alice.kvTokens = 2;
  expect(sessionInfo('alice', infoOf(alice), 3000)).toStrictEqual({
    id: 'alice',
    createdAt: new Date(1000),
    modifiedAt: new Date(2000),
    expiresAt: new Date(3000),
    summary: 'hé 😀',
    messages: 3,
    tokens: 3,
    residency: 'store',
    metadata: { a: 'b', ['__proto__']: 'c' },
  });
});

test('of one that has said nothing', () => {
  expect(sessionInfo('bob', infoOf(conversation()), undefined)).toStrictEqual({
    id: 'bob',
    createdAt: new Date(1000),
    modifiedAt: new Date(1000),
    summary: '',
    messages: 0,
    tokens: 0,
    residency: 'none',
    metadata: {},
  });
});

describe('the summary', () => {
  test('is the first 80 characters of the first user message', () => {
    expect(summaryOf('x'.repeat(80))).toBe('x'.repeat(80));
    expect(summaryOf(`${'x'.repeat(80)}y`)).toBe('x'.repeat(80));
    const messages: Message[] = [{ role: 'assistant', content: 'hello' }, user('first'), user('second')];
    expect(sessionInfo('a', infoOf(conversation({ messages })), undefined).summary).toBe('first');
  });

  test('never ends in half a character', () => {
    expect(summaryOf('😀'.repeat(81))).toBe('😀'.repeat(80));
    expect(summaryOf(`a${'😀'.repeat(81)}`)).toBe(`a${'😀'.repeat(79)}`);
    expect(summaryOf(`${'x'.repeat(79)}😀y`)).toBe(`${'x'.repeat(79)}😀`);
  });

  test('of a huge message is made quickly', () => {
    const info = infoOf(conversation({ messages: [user('😀'.repeat(2 ** 20))] }));
    expect(info.byteLength).toBeLessThan(1000);
  });
});

describe('damaged bytes throw', () => {
  const good = infoOf(conversation({ messages: [user('hi')], metadata: { a: 'b' } }));
  const fields = JSON.parse(Buffer.from(good).toString()) as Record<string, unknown>;
  const parsed = (value: unknown) => () =>
    sessionInfo('alice', Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), undefined);

  test('cut off anywhere', () => {
    expect(parsed(fields)).not.toThrow();
    for (let length = 0; length < good.byteLength; length++)
      expect(() => sessionInfo('alice', good.subarray(0, length), undefined)).toThrow(Error);
  });

  test.each(['', '{', '5', 'null', '[]', '"x"', '{}'])('%s', (json) => {
    expect(parsed(json)).toThrow(Error);
  });

  test.each(Object.keys(fields))('%s is missing, or of another type', (name) => {
    const { [name]: _gone, ...rest } = fields;
    expect(parsed(rest)).toThrow(TypeError);
    for (const wrong of [null, [], { a: 1 }]) expect(parsed({ ...fields, [name]: wrong })).toThrow(TypeError);
  });

  test.each<[string, unknown]>([
    ['createdAt', -1],
    ['modifiedAt', 8.64e15 + 2],
    ['messages', 0.5],
    ['tokens', -1],
    ['summary', 'x'.repeat(200)],
  ])('%s of %s', (name, wrong) => {
    expect(parsed({ ...fields, [name]: wrong })).toThrow(RangeError);
  });

  test('it can not speak for another session', () => {
    expect(parsed({ ...fields, id: 'mallory' })).toThrow(TypeError);
  });
});
