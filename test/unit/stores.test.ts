import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { encryptedStore } from '../../lib/stores/encrypted.js';
import { Keys } from '../../lib/stores/keyring.js';
import { MemoryStore } from '../../lib/stores/memory.js';
import type { SessionStore } from '../../lib/stores/store.js';
import { typedStore } from '../../lib/stores/typed.js';
import { refusal } from '../support/deadline.js';
import { storeSuite } from '../suites/store-suite.js';

storeSuite('MemoryStore', {
  open: (pageBytes) => Promise.resolve(new MemoryStore(pageBytes === undefined ? {} : { pageBytes })),
  budget: true,
});

const paths: string[] = [];
const directory = {
  open: async (pageBytes?: number) => {
    paths.push(await mkdtemp(join(tmpdir(), 'store-')));
    return new DirectoryStore(paths.at(-1) ?? '', pageBytes === undefined ? {} : { pageBytes });
  },
  reopen: () => Promise.resolve(new DirectoryStore(paths.at(-1) ?? '')),
  clean: async () => {
    for (const path of paths.splice(0)) await rm(path, { recursive: true, force: true });
  },
  budget: true,
};
storeSuite('DirectoryStore', directory);
storeSuite('a typed store', {
  ...directory,
  open: async (pageBytes?: number) => typedStore(await directory.open(pageBytes)),
  reopen: async () => typedStore(await directory.reopen()),
});

const keys = new Keys({ current: 'a', keys: { a: Buffer.alloc(32, 'key') } });
storeSuite('an encrypted store', {
  open: async () => encryptedStore(typedStore(await directory.open()), keys),
  reopen: async () => encryptedStore(typedStore(await directory.reopen()), keys),
  clean: directory.clean,
});

describe('what a constructor refuses', () => {
  const makers: [string, (options: unknown) => unknown][] = [
    ['MemoryStore', (options) => new MemoryStore(options as never)],
    ['DirectoryStore', (options) => new DirectoryStore('never-made', options as never)],
  ];
  const range = 'pageBytes must be an integer from 0 to 9007199254740991, got';
  describe.each(makers)('%s', (_, make) => {
    test.each<[unknown, typeof TypeError | typeof RangeError, string]>([
      [{ pageBytes: NaN }, RangeError, `${range} NaN`],
      [{ pageBytes: -1 }, RangeError, `${range} -1`],
      [{ pageBytes: 0.5 }, RangeError, `${range} 0.5`],
      [{ pageBytes: Infinity }, RangeError, `${range} Infinity`],
      [{ pageBytes: '1' }, TypeError, `${range} '1'`],
      [{ pageBytes: null }, TypeError, `${range} null`],
      [{ pagebytes: 1 }, TypeError, "options has no option 'pagebytes'; did you mean 'pageBytes'?"],
      [null, TypeError, 'options must be an object, got null'],
      [1000, TypeError, 'options must be an object, got 1000'],
    ])('%o', (options, kind, sentence) => {
      expect(() => make(options)).toThrow(new kind(sentence));
      expect(() => make(options)).toThrow(kind);
    });

    test('nothing of what it takes', () => {
      for (const options of [undefined, {}, { pageBytes: undefined }, { pageBytes: 0 }, { pageBytes: 2 ** 40 }]) {
        expect(make(options)).toBeDefined();
      }
    });
  });

  test.each<[unknown, typeof TypeError | typeof RangeError, string]>([
    ['', RangeError, "path must be a non-empty string, got ''"],
    ['a\0b', RangeError, "path must be a string without NUL characters, got 'a\\x00b'"],
    [undefined, TypeError, 'path must be a non-empty string, got undefined'],
    [new URL('file:///x'), TypeError, 'path must be a non-empty string, got '],
  ])('a DirectoryStore in %o', (path, kind, sentence) => {
    expect(() => new DirectoryStore(path as never)).toThrow(sentence);
    expect(() => new DirectoryStore(path as never)).toThrow(kind);
  });
});

test.each([
  ['MemoryStore', () => Promise.resolve(new MemoryStore())],
  ['DirectoryStore', directory.open],
])('%s takes a page that is of another realm, as in vm and jest', async (_, open) => {
  const store = await open();
  const page = runInNewContext('new Uint8Array([1, 2, 3])') as Uint8Array;
  await store.putRecord('a', new Uint8Array(1), { expected: 0, pages: ['p'] });
  expect(await store.putPage('p', page)).toBe(true);
  expect([...((await store.getPage('p')) ?? [])]).toEqual([1, 2, 3]);
  await store.close();
  await directory.clean();
});

describe('answers of a store that somebody wrote', () => {
  const typed = (method: keyof SessionStore, answer: unknown): Required<SessionStore> =>
    typedStore(Object.assign(new MemoryStore(), { [method]: () => Promise.resolve(answer) })) as Required<SessionStore>;

  test.each([[undefined], [null], [42], ['text'], [{ rows: [] }], [[1]], [['a', null]]])(
    'ids of expired sessions are no %o',
    async (answer) => {
      const error = await refusal('listExpired()', () => typed('listExpired', answer).listExpired(0, 1));
      expect(error).toMatchObject({ code: 'STORE_FAILED', cause: expect.any(TypeError) as TypeError });
      expect(error.message).toMatch(/^The store could not list the expired sessions: listExpired\(\)(\[\d\])? must be/);
    },
  );

  const bytes = new Uint8Array(3);
  test.each<[keyof SessionStore, unknown, string]>([
    ['getRecord', 42, 'getRecord() must be an object, got 42'],
    ['getRecord', [], 'getRecord() must be an object, got []'],
    ['getRecord', {}, 'getRecord().version must be an integer from 1 to 9007199254740991, got undefined'],
    ['getRecord', { version: NaN, bytes }, 'getRecord().version must be an integer from 1 to'],
    ['getRecord', { version: 0, bytes }, 'getRecord().version must be an integer from 1 to'],
    ['getRecord', { version: '1', bytes }, 'getRecord().version must be an integer from 1 to'],
    ['getRecord', { version: 1, bytes: 'abc' }, "getRecord().bytes must be a Uint8Array, got 'abc'"],
    ['getRecord', { version: 1, bytes, expiresAt: '1' }, 'getRecord().expiresAt must be an integer from 0 to'],
    ['putRecord', undefined, 'putRecord() must be an integer from 1 to 9007199254740991, got undefined'],
    ['putRecord', 1.5, 'putRecord() must be an integer from 1 to 9007199254740991, got 1.5'],
    ['putRecord', 'OK', "putRecord() must be an integer from 1 to 9007199254740991, got 'OK'"],
    ['getPage', 'abc', "getPage() must be a Uint8Array, got 'abc'"],
    ['getPage', [1, 2], 'getPage() must be a Uint8Array, got ['],
  ])('%s: %o is STORE_FAILED', async (method, answer, sentence) => {
    const call = typed(method, answer)[method] as (...given: unknown[]) => Promise<unknown>;
    const error = await refusal(method, () => call('a', bytes, { expected: 0 }));
    expect(error).toMatchObject({ code: 'STORE_FAILED', cause: expect.any(Error) as Error });
    expect(error.message).toContain(sentence);
  });

  const list = async (answer: unknown): Promise<unknown[]> => {
    const store = typedStore(Object.assign(new MemoryStore(), { listRecords: () => answer }));
    const listed: unknown[] = [];
    for await (const each of store.listRecords()) listed.push(each);
    return listed;
  };
  test.each([[undefined], [42], [{ rows: [] }], [[null]], [[{}]], [[{ id: 1 }]]])(
    'no listing: %o is STORE_FAILED',
    async (answer) => {
      expect(await refusal('listRecords()', () => list(answer))).toMatchObject({
        code: 'STORE_FAILED',
        message: expect.stringMatching(/^The store could not list the session records: /) as string,
      });
    },
  );

  test('null is undefined, as databases say it', async () => {
    expect(await typed('getRecord', null).getRecord('a')).toBeUndefined();
    expect(await typed('getPage', null).getPage('a')).toBeUndefined();
    const record = { version: 1, bytes, expiresAt: null, _id: 7 };
    expect(await typed('getRecord', record).getRecord('a')).toEqual({ version: 1, bytes, _id: 7 });
    const listed = { id: 'a', version: 1, info: bytes };
    expect(await list([{ ...listed, expiresAt: null }])).toEqual([listed]);
  });

  test('what it throws need not be an Error, nor have a text', async () => {
    const thrown: unknown = Object.create(null);
    const fails = (): never => {
      throw thrown;
    };
    const store = typedStore(Object.assign(new MemoryStore(), { getRecord: fails }));
    expect(await refusal('getRecord()', () => store.getRecord('a'))).toMatchObject({
      code: 'STORE_FAILED',
      cause: thrown,
    });
  });

  test('bytes may be of another realm', async () => {
    const foreign = runInNewContext('new Uint8Array(3)') as Uint8Array;
    const record = { version: 1, bytes: foreign };
    expect(await typed('getRecord', record).getRecord('a')).toBe(record);
  });
});

describe('methods of a store that somebody wrote', () => {
  const optional = ['listExpired', 'claim', 'release', 'getPage', 'putPage', 'deletePage', 'stats', 'close'] as const;
  const given = (name: string, method: unknown): SessionStore =>
    typedStore(Object.assign(new MemoryStore(), { [name]: method }));

  test.each(optional)('%s may be null: it is absent', (name) => {
    expect(given(name, null)[name]).toBeUndefined();
  });

  test.each(optional)('%s must else be a function', (name) => {
    for (const method of [42, {}, 'text', false]) {
      expect(() => given(name, method)).toThrow(TypeError);
      expect(() => given(name, method)).toThrow(`store.${name} must be a function, got `);
    }
  });
});

describe('figures of a store that somebody wrote', () => {
  const given = (stats: unknown): Record<string, number> | undefined =>
    typedStore(Object.assign(new MemoryStore(), { stats })).stats?.();

  test('that fails are none', () => {
    const fails = (): never => {
      throw new Error('no');
    };
    expect(given(fails)).toEqual({});
    expect(
      given(() => ({
        a: 1,
        get b() {
          return fails();
        },
      })),
    ).toEqual({});
  });

  test.each([[undefined], [null], ['text'], [1], [Promise.resolve({ a: 1 })]])('that come to %s are none', (value) => {
    expect(given(() => value)).toEqual({});
  });

  test('that fail later are none, and it is nobody’s failure', async () => {
    expect(given(() => Promise.reject(new Error('late')))).toEqual({});
    // An unhandled rejection fails the run.
    await new Promise(setImmediate);
  });

  test('that fail later in another realm are none either', async () => {
    expect(given(() => runInNewContext("Promise.reject(new Error('late'))") as unknown)).toEqual({});
    await new Promise(setImmediate);
  });

  test('are numbers: what else is among them is left out', () => {
    expect(given(() => ({ a: 1, b: '2', c: null, d: 2n, e: NaN, f: -0.5 }))).toEqual({ a: 1, e: NaN, f: -0.5 });
  });

  test('are of the store, and where it has none there are none', () => {
    expect(given(undefined)).toBeUndefined();
    expect(typedStore(new MemoryStore()).stats?.()).toEqual(new MemoryStore().stats());
  });
});
