import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { resolveLoadOptions } from '../../lib/options.js';
import { Keys, type KeyRing, type Purpose } from '../../lib/stores/keyring.js';
import { expectCode, text } from '../suites/store-values.js';

const CHUNK = 2 ** 18;
const HEADER = 8 + 1 + 1 + 8 + 32;
const PURPOSE: Purpose = { kind: 'record', name: 'ann' };
const KEY = randomBytes(32);
const keys = new Keys({ current: 'a', keys: { a: KEY } });

async function encrypt(parts: readonly Uint8Array[], by: Keys = keys): Promise<Buffer> {
  return Buffer.concat(await by.encrypt(PURPOSE, parts));
}

async function whole(encrypted: Uint8Array, purpose: Purpose = PURPOSE, by: Keys = keys): Promise<Buffer> {
  return Buffer.from(await by.decrypt(purpose, encrypted));
}

describe('what was encrypted', () => {
  test.each([0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])(
    '%i bytes come back',
    async (length) => {
      const bytes = randomBytes(length);
      const encrypted = await encrypt([bytes]);
      const chunks = Math.max(1, Math.ceil(length / CHUNK));
      expect(encrypted.byteLength).toBe(HEADER + length + 16 * chunks);
      expect((await whole(encrypted)).equals(bytes)).toBe(true);
    },
  );

  test('in parts it is the same', async () => {
    const bytes = randomBytes(2 * CHUNK + 9);
    const parts = [0, 1, 5, CHUNK, CHUNK, 2 * CHUNK].map((from, i, all) => bytes.subarray(from, all[i + 1]));
    expect((await whole(await encrypt(parts))).equals(bytes)).toBe(true);
    expect((await whole(await encrypt([]))).byteLength).toBe(0);
  });

  test('shows nothing of it, and is another one each time', async () => {
    const bytes = Buffer.alloc(2 * CHUNK, 'a secret ');
    const [one, other] = [await encrypt([bytes]), await encrypt([bytes])];
    for (const each of [one, other]) expect(Buffer.from(each).includes('secret')).toBe(false);
    expect(Buffer.from(one).subarray(HEADER).equals(Buffer.from(other).subarray(HEADER))).toBe(false);
    // Nor are equal chunks of it alike.
    const chunk = (i: number): Buffer =>
      Buffer.from(one).subarray(HEADER + i * (CHUNK + 16), HEADER + i * (CHUNK + 16) + CHUNK);
    expect(chunk(0).equals(chunk(1))).toBe(false);
  });

  test('the user may wipe his key', async () => {
    const mine = randomBytes(32);
    const copy = new Keys({ current: 'a', keys: { a: mine } });
    const encrypted = await encrypt([text('x')], copy);
    mine.fill(0);
    expect(String(await whole(encrypted, PURPOSE, copy))).toBe('x');
    expect((await encrypt([text('x')], copy)).byteLength).toBe(encrypted.byteLength);
  });
});

describe('what was changed is refused', () => {
  const bytes = randomBytes(2 * CHUNK + 100);
  const changed = async (change: (encrypted: Buffer) => Buffer): Promise<void> => {
    const encrypted = Buffer.from(await encrypt([bytes]));
    await expectCode(whole(change(encrypted)), 'SNAPSHOT_CORRUPT');
  };
  const STEP = CHUNK + 16;

  test.each([
    ['the kind', 0],
    ['the salt', HEADER - 1],
    ['the first chunk', HEADER],
    ['the tag of a chunk', HEADER + CHUNK],
    ['the last chunk', HEADER + 2 * STEP],
    ['the last byte', HEADER + 2 * STEP + 100 + 15],
  ])('a bit of %s', async (_, at) => {
    await changed((encrypted) => {
      encrypted[at] = (encrypted[at] ?? 0) ^ 1;
      return encrypted;
    });
  });

  test.each([
    0,
    7,
    8,
    HEADER - 1,
    HEADER,
    HEADER + 15,
    HEADER + STEP,
    HEADER + STEP + 4,
    HEADER + 2 * STEP,
    HEADER + 2 * STEP + 50,
  ])('cut off after %i bytes', async (length) => {
    await changed((encrypted) => encrypted.subarray(0, length));
  });

  test('chunks that changed places, or come twice', async () => {
    const chunk = (encrypted: Buffer, i: number): Buffer =>
      encrypted.subarray(HEADER + i * STEP, HEADER + (i + 1) * STEP);
    const order = (indices: number[]) => (encrypted: Buffer) =>
      Buffer.concat([encrypted.subarray(0, HEADER), ...indices.map((i) => chunk(encrypted, i))]);
    await expect(whole(order([0, 1, 2])(Buffer.from(await encrypt([bytes]))))).resolves.toHaveLength(bytes.length);
    for (const indices of [
      [1, 0, 2],
      [0, 0, 1, 2],
      [0, 2],
      [1, 2],
      [0, 1, 2, 2],
    ])
      await changed(order(indices));
  });

  test('something added', () => changed((encrypted) => Buffer.concat([encrypted, Buffer.alloc(1)])));

  test('another one’s, of another kind, and what was never encrypted', async () => {
    const encrypted = await encrypt([text('x')]);
    await expectCode(whole(encrypted, { kind: 'record', name: 'bob' }), 'SNAPSHOT_CORRUPT');
    await expectCode(whole(encrypted, { kind: 'info', name: 'ann' }), 'SNAPSHOT_CORRUPT');
    await expectCode(whole(text('{"messages":[]}')), 'SNAPSHOT_CORRUPT');
  });

  test('what another key of the same id encrypted', async () => {
    const other = new Keys({ current: 'a', keys: { a: randomBytes(32) } });
    await expectCode(whole(await encrypt([text('x')], other)), 'KEY_NOT_FOUND');
  });
});

describe('several keys', () => {
  const older = new Keys({ current: 'a', keys: { a: KEY } });
  const both = new Keys({ current: 'b', keys: { a: KEY, b: randomBytes(32) } });

  test('the current one encrypts, the others decrypt still', async () => {
    expect(String(await whole(await encrypt([text('x')], older), PURPOSE, both))).toBe('x');
    const encrypted = await encrypt([text('x')], both);
    await expectCode(whole(encrypted, PURPOSE, older), 'KEY_NOT_FOUND');
    await expect(whole(encrypted, PURPOSE, older)).rejects.toThrow('a key "b"');
  });

  test('one under two ids is one', () => {
    const twice = new Keys({ current: 'b', keys: { a: KEY, b: KEY } });
    expect(twice.namesOf('page')).toEqual(older.namesOf('page'));
  });

  test('a page is known by all of them, the current one first', () => {
    const names = both.namesOf('page');
    expect(names).toHaveLength(2);
    expect(names[1]).toBe(older.namesOf('page')[0]);
    expect(both.namesOf('other')).not.toContain(names[0]);
  });

  test('ids of keys may be anything', async () => {
    for (const id of ['__proto__', 'ключ', 'x'.repeat(255)]) {
      const odd = new Keys({ current: id, keys: Object.fromEntries([[id, KEY]]) });
      expect(String(await whole(await encrypt([text('x')], odd), PURPOSE, odd))).toBe('x');
    }
  });
});

describe('a key ring', () => {
  const key = new Uint8Array(32);
  const OBJECT = 'encryption must be an object of current and keys';
  const KEYS = 'encryption.keys must be an object of keys by their ids';
  const BYTES = 'each of encryption.keys must be a Uint8Array of 32 bytes';
  const ID = 'each id in encryption.keys must be well-formed Unicode of 1 to 255 bytes of UTF-8';
  const CURRENT = 'encryption.current must be the id of one of encryption.keys';
  const HEX = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';

  test.each<[string, unknown, typeof TypeError | typeof RangeError, string]>([
    ['text', HEX, TypeError, OBJECT],
    ['a key alone', key, TypeError, OBJECT],
    ['something else', { current: 'a', keys: { a: key }, [HEX]: 1 }, TypeError, OBJECT],
    ['no keys', { current: 'a' }, TypeError, KEYS],
    ['no keys at all', { current: 'a', keys: undefined }, TypeError, KEYS],
    ['text for keys', { current: 'a', keys: HEX }, TypeError, KEYS],
    ['a Map', { current: 'a', keys: new Map([['a', HEX]]) }, TypeError, KEYS],
    ['a key for keys', { current: 'a', keys: key }, TypeError, KEYS],
    ['no current one', { keys: { a: key } }, TypeError, CURRENT],
    ['a key for the current one', { current: key, keys: { a: key } }, TypeError, CURRENT],
    ['another current one', { current: HEX, keys: { a: key } }, RangeError, CURRENT],
    ['an inherited one', { current: 'toString', keys: {} }, RangeError, CURRENT],
    ['a key as text', { current: 'a', keys: { a: HEX } }, TypeError, BYTES],
    ['key and id exchanged', { current: HEX, keys: { [HEX]: 'a' } }, TypeError, BYTES],
    [
      'a short key',
      { current: 'a', keys: { a: Buffer.from('short') } },
      RangeError,
      'each of encryption.keys must have 32 bytes',
    ],
    ['an empty id', { current: 'a', keys: { a: key, '': key } }, RangeError, ID],
    ['a long id', { current: 'a', keys: { ['é'.repeat(128)]: key } }, RangeError, ID],
    ['half a character', { current: '\ud800', keys: { '\ud800': key } }, RangeError, ID],
  ])('that is or has %s is refused, without a word of what may be a key', (_, encryption, type, sentence) => {
    const load = (): unknown => resolveLoadOptions({ encryption: encryption as KeyRing });
    expect(load).toThrow(new type(sentence));
  });
});
