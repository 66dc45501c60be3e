import { mkdir, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { OpenFile } from '../../lib/disk.js';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { storeFailure } from '../../lib/stores/failure.js';
import { retryBusy } from '../../lib/stores/files.js';
import { PageFiles } from '../../lib/stores/pagefiles.js';
import { audit } from '../support/audit.js';
import { bytes, errno, failure, files, makeBench, read } from '../support/directory.js';

const bench = makeBench();

describe('what is on the disk', () => {
  test('nothing before the first use, then a directory for this user only', async () => {
    await bench.store.close();
    bench.store = new DirectoryStore(join(bench.root, 'deep/down'));
    expect(await readdir(bench.root)).toEqual([]);
    expect(bench.store.stats()).toEqual({});
    expect(await bench.store.getRecord('a')).toBeUndefined();
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    await bench.store.putPage('p', bytes('page'));
    expect(await read(bench.store, 'a')).toBe('1:x');
    if (process.platform === 'win32') return;
    for (const entry of await readdir(join(bench.root, 'deep'), { recursive: true, withFileTypes: true })) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      expect(mode & 0o777, entry.name).toBe(entry.isDirectory() ? 0o700 : 0o600);
    }
  });

  test('ids and keys are not in the names of files', async () => {
    await bench.store.putRecord('secret-id', bytes('x'), { expected: 0, pages: ['../secret-key'] });
    await bench.store.putPage('../secret-key', bytes('x'));
    const names = (await files(bench.root)).map((path) => path.slice(bench.root.length));
    for (const name of names) {
      expect(name).toMatch(/^\/(index\/index\.db(-wal|-shm|-process)?|pages\/[0-9a-f]{2}\/[0-9a-f]{64}-[0-9a-f]{16})$/);
    }
    expect(names.filter((name) => !name.endsWith('-process'))).toHaveLength(4);
  });

  test('a page goes with the last record that names it, and its file', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p', 'q'] });
    await bench.store.putRecord('b', bytes('x'), { expected: 0, pages: ['q'] });
    for (const key of ['p', 'q']) await bench.store.putPage(key, bytes(key));
    expect(await pageFiles()).toHaveLength(2);
    await bench.store.deleteRecord('a');
    expect(await pageFiles()).toHaveLength(1);
    await bench.store.putRecord('b', bytes('x'), { expected: 1 });
    expect(await pageFiles()).toHaveLength(0);
    await audit(bench.root);
  });

  test('a page that nobody names, or that is stored already, is not even written', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    await bench.store.putPage('p', bytes('x'));
    const write = vi.spyOn(OpenFile.prototype, 'write');
    expect(await bench.store.putPage('p', bytes('x'))).toBe(true);
    expect(await bench.store.putPage('q', bytes('x'))).toBe(false);
    expect(write).not.toHaveBeenCalled();
  });

  test.each([
    ['its record is deleted', () => bench.store.deleteRecord('a')],
    ['it is dropped', () => bench.store.deletePage('p')],
    [
      'another one drives it out',
      async () => {
        const other = new DirectoryStore(bench.root, { pageBytes: 3 });
        await other.putPage('q', bytes('new'));
        await other.close();
      },
    ],
  ])('a page on its way into its place leaves no file when %s', async (_, forget) => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p', 'q'] });
    const { finish } = PageFiles.prototype;
    vi.spyOn(PageFiles.prototype, 'finish').mockImplementationOnce(async function (this: PageFiles, ...given) {
      await forget();
      await finish.apply(this, given);
    });
    expect(await bench.store.putPage('p', bytes('page'))).toBe(false);
    expect(await bench.store.getPage('p')).toBeUndefined();
    await audit(bench.root);
  });

  test('of many that write one page one file stays', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    await Promise.all(Array.from({ length: 10 }, () => bench.store.putPage('p', bytes('page'))));
    expect(await pageFiles()).toHaveLength(1);
    await audit(bench.root);
  });

  test('an id that is too long for the index is refused, and is nowhere', async () => {
    const id = 'x'.repeat(951);
    expect((await failure(bench.store.putRecord(id, bytes('x'), { expected: 0 }))).message).toMatch(/950 characters/);
    expect((await failure(bench.store.claim(id, false))).code).toBe('STORE_FAILED');
    expect(await bench.store.getRecord(id)).toBeUndefined();
    expect(await bench.store.deleteRecord(id)).toBe(false);
    await bench.store.putRecord(id.slice(1), bytes('longest'), { expected: 0, expiresAt: 1 });
    expect(await read(bench.store, id.slice(1))).toBe('1:longest');
    expect(await ids({ prefix: id })).toEqual([]);
    expect(await ids({ after: id })).toEqual([]);
    expect(await ids({ after: `${'w'.repeat(950)}z` })).toEqual([id.slice(1)]);
    expect(await bench.store.listExpired(1, 1)).toEqual([id.slice(1)]);
  });
});

describe('a page that fails', () => {
  test.each(['write', 'sync'] as const)('in %s leaves nothing behind, and can be written again', async (method) => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    vi.spyOn(OpenFile.prototype, method).mockRejectedValue(errno('ENOSPC'));
    const error = await failure(bench.store.putPage('p', bytes('x'), { durability: 'always' }));
    expect(error.code).toBe('STORE_FAILED');
    expect(error.message).toMatch(/disk is full; free some space \(ENOSPC\)/);
    vi.restoreAllMocks();
    await audit(bench.root);
    expect(await bench.store.putPage('p', bytes('x'))).toBe(true);
  });

  test('on its way into its place is forgotten', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    await writeFile(join(bench.root, 'pages'), 'in the way');
    expect((await failure(bench.store.putPage('p', bytes('x')))).code).toBe('STORE_FAILED');
    await rm(join(bench.root, 'pages'));
    expect(bench.store.stats()).toMatchObject({ storedPages: 0, storedPageBytes: 0 });
    expect(await bench.store.putPage('p', bytes('x'))).toBe(true);
    await audit(bench.root);
  });

  test.each([
    ['gone', (path: string) => rm(path)],
    ['cut off', (path: string) => writeFile(path, 'x')],
  ])('because its file is %s is a miss, and can be written again', async (_, damage) => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    await bench.store.putPage('p', bytes('page'));
    for (const path of await pageFiles()) await damage(path);
    expect(await bench.store.getPage('p')).toBeUndefined();
    expect(await bench.store.putPage('p', bytes('page'))).toBe(true);
    expect(await bench.store.getPage('p')).toEqual(Uint8Array.from(bytes('page')));
    await audit(bench.root);
  });

  test.each(['none', 'always'] as const)(
    'because its file is cut off is written again, durability %s',
    async (durability) => {
      await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
      await bench.store.putPage('p', bytes('page'));
      for (const path of await pageFiles()) await truncate(path, 2);
      expect(await bench.store.putPage('p', bytes('page'), { durability })).toBe(true);
      expect(await bench.store.getPage('p')).toEqual(Uint8Array.from(bytes('page')));
      await audit(bench.root);
    },
  );

  test('short writes and short reads are gone on with', async () => {
    const handle = OpenFile.prototype;
    const write = handle.write;
    const readOne = handle.read;
    vi.spyOn(handle, 'write').mockImplementation(function (this: unknown, ...all: unknown[]) {
      return Reflect.apply(write, this, [all[0], all[1], Math.min(all[2] as number, 7)]) as never;
    });
    vi.spyOn(handle, 'read').mockImplementation(function (this: unknown, ...all: unknown[]) {
      return Reflect.apply(readOne, this, [all[0], all[1], Math.min(all[2] as number, 5), all[3]]) as never;
    });
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    await bench.store.putPage('p', bytes('a text of more than seven bytes'));
    expect(Buffer.from((await bench.store.getPage('p')) ?? []).toString()).toBe('a text of more than seven bytes');
  });
});

describe('several stores', () => {
  test('of one process on one directory: each can be closed while the others work', async () => {
    const others = [
      new DirectoryStore(bench.root),
      new DirectoryStore(join(bench.root, '../', bench.root.split('/').at(-1)!)),
    ];
    const writes = others.map((store, i) => store.putRecord(String(i), bytes('x'), { expected: 0 }));
    await bench.store.getRecord('a');
    await bench.store.close();
    expect(await Promise.all(writes)).toEqual([1, 1]);
    await others[0]!.close();
    expect(await read(others[1]!, '0')).toBe('1:x');
    expect(await others[1]!.putRecord('0', bytes('y'), { expected: 1 })).toBe(2);
    await others[1]!.close();
    const again = new DirectoryStore(bench.root);
    expect(await read(again, '0')).toBe('2:y');
    await again.close();
  });

  test('hundreds of writes at once are all there, and conflicts among them are theirs alone', async () => {
    const writes = Array.from({ length: 500 }, (_, i) =>
      bench.store.putRecord(String(i % 400), Buffer.alloc(50_000), { expected: 0 }),
    );
    const results = await Promise.allSettled(writes);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(400);
    expect(await ids()).toHaveLength(400);
  });

  test('a store that was never used closes, and leaves no directory', async () => {
    const unused = new DirectoryStore(join(bench.root, 'unused'));
    await unused.close();
    expect(await readdir(bench.root)).toEqual([]);
  });

  test('after close() every call fails, and says so', async () => {
    await bench.store.close();
    const calls = [
      () => bench.store.getRecord('a'),
      () => bench.store.putRecord('a', bytes('x'), { expected: 0 }),
      () => bench.store.deleteRecord('a'),
      () => bench.store.listRecords().next(),
      () => bench.store.listExpired(0, 1),
      () => bench.store.claim('a', true),
      () => bench.store.release('a'),
      () => bench.store.getPage('a'),
      () => bench.store.putPage('a', bytes('x')),
      () => bench.store.deletePage('a'),
      () => bench.store.sweep(),
    ];
    for (const call of calls) expect((await failure(call())).message).toMatch(/is closed; open another/);
  });

  test('reading in a loop keeps nobody from the event loop', async () => {
    const seen = { turn: false };
    setImmediate(() => (seen.turn = true));
    while (!seen.turn) await bench.store.getRecord('a');
  });
});

describe('messages', () => {
  test.each(['EACCES', 'EROFS', 'EMFILE', 'ENOENT', 'EIO', 'MDB_CORRUPTED'])('%s: says what to do', (code) => {
    const error = storeFailure('write a page', '/data', errno(code));
    expect(error.message).toMatch(new RegExp(`^Could not write a page in /data: .+; .+ \\(${code}\\)\\.$`));
  });

  test('an error that nobody foresaw keeps its message', () => {
    expect(storeFailure('read', '/d', errno('EWHAT')).message).toBe(
      'Could not read in /d: EWHAT; see `cause` (EWHAT).',
    );
    expect(storeFailure('read', '/d', 'a string').message).toBe('Could not read in /d: a string; see `cause`.');
  });

  test('what an indexer has open is tried again for a while', async () => {
    let tries = 0;
    const busyTwice = (): Promise<string> => (tries++ < 2 ? Promise.reject(errno('EBUSY')) : Promise.resolve('done'));
    expect(await retryBusy(busyTwice)).toBe('done');
    await expect(retryBusy(() => Promise.reject(errno('EBUSY')))).rejects.toThrow('EBUSY');
    const otherwise = vi.fn(() => Promise.reject(errno('EXDEV')));
    await expect(retryBusy(otherwise)).rejects.toThrow('EXDEV');
    expect(otherwise).toHaveBeenCalledOnce();
  });
});

async function pageFiles(): Promise<string[]> {
  await mkdir(join(bench.root, 'pages'), { recursive: true });
  return files(join(bench.root, 'pages'));
}

async function ids(filter = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of bench.store.listRecords(filter)) found.push(id);
  return found;
}
