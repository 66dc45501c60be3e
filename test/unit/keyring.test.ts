import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { resolveLoadOptions } from '../../lib/options.js';
import { Keys, type KeyRing, type Purpose } from '../../lib/stores/keyring.js';
import { expectCode, text } from '../suites/store-values.js';

const CHUNK = 2 ** 18;
const HEADER = 8 + 1 + 1 + 32;
const PURPOSE: Purpose = { kind: 'record', name: 'ann' };
const KEY = randomBytes(32);
const keys = new Keys({ current: 'a', keys: { a: KEY } });

async function whole(encrypted: Uint8Array, purpose: Purpose = PURPOSE, by: Keys = keys): Promise<Buffer> {
  return Buffer.from(await by.decrypt(purpose, encrypted));
}

describe('what was encrypted', () => {
  test.each([0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])(
    '%i bytes come back',
    async (length) => {
      const bytes = randomBytes(length);
      const encrypted = await keys.encrypt(PURPOSE, [bytes]);
      const chunks = Math.max(1, Math.ceil(length / CHUNK));
      expect(encrypted.byteLength).toBe(HEADER + length + 16 * chunks);
      expect((await whole(encrypted)).equals(bytes)).toBe(true);
    },
  );

  test('in parts it is the same', async () => {
    const bytes = randomBytes(2 * CHUNK + 9);
    const parts = [0, 1, 5, CHUNK, CHUNK, 2 * CHUNK].map((from, i, all) => bytes.subarray(from, all[i + 1]));
    expect((await whole(await keys.encrypt(PURPOSE, parts))).equals(bytes)).toBe(true);
    expect((await whole(await keys.encrypt(PURPOSE, []))).byteLength).toBe(0);
  });

  test('shows nothing of it, and is another one each time', async () => {
    const bytes = Buffer.alloc(2 * CHUNK, 'a secret ');
    const [one, other] = [await keys.encrypt(PURPOSE, [bytes]), await keys.encrypt(PURPOSE, [bytes])];
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
    const encrypted = await copy.encrypt(PURPOSE, [text('x')]);
    mine.fill(0);
    expect(String(await whole(encrypted, PURPOSE, copy))).toBe('x');
    expect((await copy.encrypt(PURPOSE, [text('x')])).byteLength).toBe(encrypted.byteLength);
  });
});

describe('what was changed is refused', () => {
  const bytes = randomBytes(2 * CHUNK + 100);
  const changed = async (change: (encrypted: Buffer) => Buffer): Promise<void> => {
    const encrypted = Buffer.from(await keys.encrypt(PURPOSE, [bytes]));
    await expectCode(whole(change(encrypted)), 'SNAPSHOT_CORRUPT');
  };
  const STEP = CHUNK + 16;

  test.each([
    ['the kind', 0],
    ['the salt', 10],
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
    await expect(whole(order([0, 1, 2])(Buffer.from(await keys.encrypt(PURPOSE, [bytes]))))).resolves.toHaveLength(
      bytes.length,
    );
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
    const encrypted = await keys.encrypt(PURPOSE, [text('x')]);
    await expectCode(whole(encrypted, { kind: 'record', name: 'bob' }), 'SNAPSHOT_CORRUPT');
    await expectCode(whole(encrypted, { kind: 'info', name: 'ann' }), 'SNAPSHOT_CORRUPT');
    await expectCode(whole(text('{"messages":[]}')), 'SNAPSHOT_CORRUPT');
  });

  test('what another key of the same id encrypted', async () => {
    const other = new Keys({ current: 'a', keys: { a: randomBytes(32) } });
    await expectCode(whole(await other.encrypt(PURPOSE, [text('x')])), 'SNAPSHOT_CORRUPT');
  });
});

describe('several keys', () => {
  const older = new Keys({ current: 'a', keys: { a: KEY } });
  const both = new Keys({ current: 'b', keys: { a: KEY, b: randomBytes(32) } });

  test('the current one encrypts, the others decrypt still', async () => {
    expect(String(await whole(await older.encrypt(PURPOSE, [text('x')]), PURPOSE, both))).toBe('x');
    const encrypted = await both.encrypt(PURPOSE, [text('x')]);
    await expectCode(whole(encrypted, PURPOSE, older), 'KEY_NOT_FOUND');
    await expect(whole(encrypted, PURPOSE, older)).rejects.toThrow("the key 'b'");
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
      expect(String(await whole(await odd.encrypt(PURPOSE, [text('x')]), PURPOSE, odd))).toBe('x');
    }
  });
});

describe('a key ring', () => {
  const key = new Uint8Array(32);
  const OBJECT = 'encryption must be an object of current and keys';
  const BYTES = 'encryption.keys["a"] must be a Uint8Array of 32 bytes';
  const ID = 'must have 1 to 255 bytes of UTF-8';
  const CURRENT = 'encryption.current must be the id of one of its keys, got';
  test.each<[string, unknown, typeof TypeError | typeof RangeError, string]>([
    ['text', 'a key in hex', TypeError, OBJECT],
    ['a key alone', key, TypeError, OBJECT],
    ['no keys', { current: 'a' }, TypeError, 'encryption.keys is missing'],
    ['no current one', { keys: { a: key } }, TypeError, 'encryption.current is missing'],
    ['another current one', { current: 'b', keys: { a: key } }, RangeError, `${CURRENT} 'b'`],
    ['an inherited one', { current: 'toString', keys: {} }, RangeError, `${CURRENT} 'toString'`],
    ['a key as text', { current: 'a', keys: { a: 'a key in hex' } }, TypeError, BYTES],
    [
      'a short key',
      { current: 'a', keys: { a: Buffer.from('secret') } },
      RangeError,
      'encryption.keys["a"] must have 32 bytes, has 6',
    ],
    ['an empty id', { current: 'a', keys: { a: key, '': key } }, RangeError, `the id of encryption.keys[""] ${ID}`],
    [
      'a long id',
      { current: 'a', keys: { ['é'.repeat(128)]: key } },
      RangeError,
      `the id of encryption.keys["${'é'.repeat(128)}"] ${ID}`,
    ],
  ])('that is or has %s is refused, without a word of what may be a key', (_, encryption, type, sentence) => {
    const load = (): unknown => resolveLoadOptions({ encryption: encryption as KeyRing });
    expect(load).toThrow(type);
    expect(load).toThrow(new type(sentence));
  });
});
