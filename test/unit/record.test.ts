import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import { resolveSessionOptions } from '../../lib/options.js';
import { decodeRecord, encodeRecord, RECORD_KIND, type SessionRecord } from '../../lib/record.js';
import { seal } from '../../lib/sealed.js';

const record: SessionRecord = {
  id: 'alice',
  createdAt: 1,
  modifiedAt: 2,
  messages: [{ role: 'user', content: 'hé', extra: { deep: [1, null] } }],
  metadata: { a: 'b' },
  settings: {
    ...resolveSessionOptions({ system: 'S', sampling: { topK: 1, logitBias: { 3: -1 } }, stop: ['x'] }).settings,
  },
  fingerprint: 'f00d',
  tokens: Int32Array.of(1, -1, 2_147_483_647, -2_147_483_648),
  kvTokens: 3,
};

function failure(bytes: Uint8Array): LlamaError {
  try {
    decodeRecord(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(LlamaError);
    return error as LlamaError;
  }
  return expect.unreachable('should have thrown');
}
/** A record whose checksum is right, whatever is in it: what a hostile writer can make. */
function forge(fields: object | string, tokens: Uint8Array = new Uint8Array(), jsonBytes?: number): Uint8Array {
  const json = Buffer.from(typeof fields === 'string' ? fields : JSON.stringify(fields));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(jsonBytes ?? json.byteLength);
  return seal(RECORD_KIND, 1, [length, json, tokens]);
}
const { tokens: _tokens, ...fields } = record;

test('what goes in comes out', () => {
  for (const kvTokens of [0, 3, 4]) {
    expect(decodeRecord(encodeRecord({ ...record, kvTokens }))).toStrictEqual({ ...record, kvTokens });
  }
});

test('property: any record comes out as it went in', () => {
  const text = fc.string({ unit: 'binary' });
  const role = fc.constantFrom('user' as const, 'assistant' as const);
  const message = fc.record({ role, content: text }, { noNullPrototype: true });
  const arbitrary = fc.record(
    {
      id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      createdAt: fc.nat(),
      modifiedAt: fc.nat(),
      messages: fc.array(message),
      metadata: fc.dictionary(text, text, { noNullPrototype: true }),
      settings: fc.constant(record.settings),
      fingerprint: fc.string({ unit: 'binary', maxLength: 64 }),
      tokens: fc.int32Array({ minLength: 7, maxLength: 50 }),
      kvTokens: fc.nat({ max: 7 }),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(arbitrary, (any) => {
      expect(decodeRecord(encodeRecord(any))).toStrictEqual(any);
    }),
  );
});

test('a view at an odd offset decodes, and the tokens are memory of their own', () => {
  const bytes = encodeRecord(record);
  const moved = new Uint8Array(bytes.byteLength + 3);
  moved.set(bytes, 3);
  const decoded = decodeRecord(moved.subarray(3));
  moved.fill(0);
  expect(decoded).toStrictEqual(record);
});

test('the bytes are the same on every machine', () => {
  const bytes = encodeRecord({ ...record, tokens: Int32Array.of(1, 258), kvTokens: 2 });
  expect(Buffer.from(bytes.subarray(0, 12)).toString('latin1')).toBe('LSRECORD\x01\0\0\0');
  expect([...bytes.subarray(-40, -32)]).toEqual([1, 0, 0, 0, 2, 1, 0, 0]);
});

describe('damage is SNAPSHOT_CORRUPT', () => {
  const small = encodeRecord({ ...record, messages: [], metadata: {} });

  test('any byte changed', () => {
    for (let i = 0; i < small.byteLength; i++) {
      for (const flip of [1, 0x80, 0xff]) {
        const bytes = Uint8Array.from(small);
        bytes[i] = (bytes[i] ?? 0) ^ flip;
        expect(failure(bytes).code).toBe('SNAPSHOT_CORRUPT');
      }
    }
  });

  test('cut off anywhere', () => {
    for (let length = 0; length < small.byteLength; length++) {
      expect(failure(small.subarray(0, length)).code).toBe('SNAPSHOT_CORRUPT');
    }
  });

  test('longer than it says', () => {
    expect(failure(Buffer.concat([small, Buffer.of(0)])).code).toBe('SNAPSHOT_CORRUPT');
  });

  test('something else', () => {
    for (const bytes of [Buffer.from('{}'), Buffer.alloc(1000), Buffer.alloc(1000, 255)]) {
      expect(failure(bytes).code).toBe('SNAPSHOT_CORRUPT');
    }
  });

  test('the message says what to do', () => {
    expect(failure(small.subarray(1)).message).toMatch(/restore it from a copy, or delete the session/);
  });
});

describe('a right checksum does not make wrong fields right', () => {
  test('the forger below makes good records too', () => {
    expect(decodeRecord(forge(fields, Buffer.alloc(16))).id).toBe('alice');
  });

  test.each<[string, object | string]>([
    ['no JSON', '{'],
    ['no object', '5'],
    ['null', 'null'],
    ['an array', '[]'],
    ['an unknown field', { ...fields, more: 1 }],
    ['an id that is too long', { ...fields, id: 'x'.repeat(257) }],
    ['an id of another type', { ...fields, id: 5 }],
    ['a time before 1970', { ...fields, createdAt: -1 }],
    ['a time that no Date has', { ...fields, modifiedAt: 8.64e15 + 2 }],
    ['messages that are none', { ...fields, messages: [{ role: 'user' }] }],
    ['messages of another type', { ...fields, messages: {} }],
    ['metadata of another type', { ...fields, metadata: { a: 1 } }],
    ['a fingerprint of another type', { ...fields, fingerprint: [] }],
    ['settings of another type', { ...fields, settings: 'x' }],
    ['sampling out of range', { ...fields, settings: { ...fields.settings, sampling: { topK: -1 } } }],
    ['an unknown setting', { ...fields, settings: { ...fields.settings, more: 1 } }],
    ['pinned by another type', { ...fields, settings: { ...fields.settings, pinned: 1 } }],
    ['KV of more tokens than there are', { ...fields, kvTokens: 5 }],
    ['negative KV', { ...fields, kvTokens: -1 }],
    ['KV of half a token', { ...fields, kvTokens: 0.5 }],
    ['KV of another type', { ...fields, kvTokens: '3' }],
  ])('%s', (_, forged) => {
    const error = failure(forge(forged, Buffer.alloc(16)));
    expect(error.code).toBe('SNAPSHOT_CORRUPT');
    expect(error.cause).toBeInstanceOf(Error);
  });

  const names = [
    'id',
    'createdAt',
    'modifiedAt',
    'messages',
    'metadata',
    'settings',
    'fingerprint',
    'kvTokens',
  ] as const;
  test.each(names)('%s is missing', (name) => {
    const { [name]: _gone, ...rest } = fields;
    const error = failure(forge(rest, Buffer.alloc(16)));
    expect(error.code).toBe('SNAPSHOT_CORRUPT');
    expect(error.message).toContain(`record.${name} is missing`);
  });

  test.each(['sampling', 'stop', 'priority', 'pinned', 'overflow'] as const)('settings.%s is missing', (name) => {
    const { [name]: _gone, ...settings } = fields.settings;
    expect(failure(forge({ ...fields, settings }, Buffer.alloc(16))).message).toContain(`settings.${name} is missing`);
  });

  test('lengths that go beyond the bytes', () => {
    for (const jsonBytes of [0, 1, 10_000, 0xffff_ffff]) {
      expect(failure(forge(fields, Buffer.alloc(16), jsonBytes)).code).toBe('SNAPSHOT_CORRUPT');
    }
    expect(failure(forge(fields, Buffer.alloc(15))).code).toBe('SNAPSHOT_CORRUPT');
    expect(failure(seal(RECORD_KIND, 1, [])).code).toBe('SNAPSHOT_CORRUPT');
  });

  test('a format of version 0', () => {
    const json = Buffer.from(JSON.stringify({ ...fields, kvTokens: 0 }));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(json.byteLength);
    expect(decodeRecord(seal(RECORD_KIND, 1, [length, json])).id).toBe('alice');
    expect(failure(seal(RECORD_KIND, 0, [length, json])).code).toBe('SNAPSHOT_CORRUPT');
  });
});

test('a newer format is SNAPSHOT_MISMATCH and says to upgrade', () => {
  const error = failure(seal(RECORD_KIND, 2, [Buffer.from('whatever it will be')]));
  expect(error.code).toBe('SNAPSHOT_MISMATCH');
  expect(error.message).toMatch(/newer version.*upgrade/);
});

test('a long session is encoded and decoded quickly', () => {
  const long = { ...record, tokens: Int32Array.from({ length: 131_072 }, (_, i) => i) };
  const start = performance.now();
  const { tokens } = decodeRecord(encodeRecord(long));
  // 3 ms on a quiet machine; it runs on the event loop.
  expect(performance.now() - start).toBeLessThan(100);
  expect(Buffer.compare(Buffer.from(tokens.buffer), Buffer.from(long.tokens.buffer))).toBe(0);
});
