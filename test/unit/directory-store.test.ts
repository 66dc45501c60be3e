import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { envelope } from '../../lib/stores/envelope.js';
import { storeFailure } from '../../lib/stores/failure.js';
import { retryBusy } from '../../lib/stores/files.js';
import { Versions } from '../../lib/stores/versions.js';
import { bytes, errno, failure, fileHandle, files, makeBench, read, recordFiles } from '../support/directory.js';

const bench = makeBench();

describe('what is on the disk', () => {
  test('nothing before the first use, then a directory for this user only', async () => {
    await bench.store.close();
    bench.store = new DirectoryStore(join(bench.root, 'deep/down'));
    expect(await readdir(bench.root)).toEqual([]);
    expect(await bench.store.getRecord('a')).toBeUndefined();
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    expect(await read(bench.store, 'a')).toBe('1:x');
    if (process.platform === 'win32') return;
    expect((await stat(join(bench.root, 'deep'))).mode & 0o777).toBe(0o700);
    for (const path of await files(bench.root)) expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('ids and keys are not in the names of files', async () => {
    await bench.store.putRecord('secret-id', bytes('x'), { expected: 0 });
    await bench.store.putPage('../secret-key', bytes('x'));
    const names = (await files(bench.root)).map((path) => path.slice(bench.root.length));
    expect(names).toHaveLength(2);
    for (const name of names) expect(name).toMatch(/^\/(sessions|pages)\/[0-9a-f]{2}\/[0-9a-f]{64}(\/1\.record)?$/);
  });

  test('of the versions only the newest and the one before stay, and nothing temporary', async () => {
    for (const durability of ['always', 'none'] as const) {
      for (let expected = 0; expected < 5; expected++) {
        await bench.store.putRecord(durability, bytes('x'), { expected, durability });
      }
    }
    expect((await files(bench.root)).map((path) => path.slice(-9)).sort()).toEqual([
      '/4.record',
      '/4.record',
      '/5.record',
      '/5.record',
    ]);
  });

  test('everysec keeps older versions until the newest is on the disk', async () => {
    for (let expected = 0; expected < 5; expected++) {
      await bench.store.putRecord('a', bytes('x'), { expected, durability: 'everysec' });
    }
    expect(await recordFiles(bench.root)).toHaveLength(5);
    await vi.waitFor(async () => expect(await recordFiles(bench.root)).toHaveLength(2), { timeout: 3000 });
  });

  test('a delete leaves nothing behind', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    await bench.store.deleteRecord('a');
    await bench.store.putPage('p', bytes('x'));
    await bench.store.deletePage('p');
    expect(await files(bench.root)).toEqual([]);
  });

  test('a write that fails half-way leaves nothing behind, and the record as it was', async () => {
    await bench.store.putRecord('a', bytes('old'), { expected: 0 });
    vi.spyOn(await fileHandle(), 'write').mockRejectedValue(errno('ENOSPC'));
    const error = await failure(bench.store.putRecord('a', bytes('new'), { expected: 1 }));
    expect(error.code).toBe('STORE_FAILED');
    expect(error.message).toMatch(/disk is full; free some space \(ENOSPC\)/);
    expect((await failure(bench.store.putPage('p', bytes('new')))).code).toBe('STORE_FAILED');
    vi.restoreAllMocks();
    expect(await readdir(join(bench.root, 'tmp'))).toEqual([]);
    expect(await read(bench.store, 'a')).toBe('1:old');
    expect(await bench.store.putRecord('a', bytes('new'), { expected: 1 })).toBe(2);
  });

  test('short writes and short reads are gone on with', async () => {
    const handle = await fileHandle();
    const write = handle.write;
    const readOne = handle.read;
    vi.spyOn(handle, 'write').mockImplementation(function (this: unknown, ...all: unknown[]) {
      return Reflect.apply(write, this, [all[0], all[1], Math.min(all[2] as number, 7)]) as never;
    });
    vi.spyOn(handle, 'read').mockImplementation(function (this: unknown, ...all: unknown[]) {
      return Reflect.apply(readOne, this, [all[0], all[1], Math.min(all[2] as number, 5), all[3]]) as never;
    });
    await bench.store.putRecord('a', bytes('a text of more than seven bytes'), { expected: 0 });
    expect(await read(bench.store, 'a')).toBe('1:a text of more than seven bytes');
  });
});

describe('durability', () => {
  test('always syncs before it resolves, the file and its folder; none does not', async () => {
    const sync = vi.spyOn(await fileHandle(), 'sync');
    await bench.store.getRecord('a');
    const calls = async (durability: 'always' | 'everysec' | 'none', expected: number): Promise<number> => {
      sync.mockClear();
      await bench.store.putRecord('a', bytes('x'), { expected, durability });
      return sync.mock.calls.length;
    };
    expect(await calls('none', 0)).toBe(0);
    expect(await calls('everysec', 1)).toBe(0);
    expect(await calls('always', 2)).toBe(2);
    sync.mockClear();
    await bench.store.putPage('p', bytes('x'));
    expect(sync).not.toHaveBeenCalled();
    await bench.store.putPage('p', bytes('x'), { durability: 'always' });
    expect(sync).toHaveBeenCalledTimes(2);
  });

  test('a new folder is synced in the folder above', async () => {
    await bench.store.getRecord('a');
    const sync = vi.spyOn(await fileHandle(), 'sync');
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    // The file, sessions/ in the bench.root, the shard in sessions/, the record's folder in the shard, the version in its folder.
    expect(sync).toHaveBeenCalledTimes(5);
  });

  test('everysec syncs within a second', async () => {
    await bench.store.getRecord('a');
    const sync = vi.spyOn(await fileHandle(), 'sync');
    await bench.store.putRecord('a', bytes('x'), { expected: 0, durability: 'everysec' });
    await bench.store.putPage('p', bytes('x'), { durability: 'everysec' });
    expect(sync).not.toHaveBeenCalled();
    const start = performance.now();
    await vi.waitFor(() => expect(sync.mock.calls.length).toBe(4), { timeout: 3000, interval: 10 });
    expect(performance.now() - start).toBeLessThan(1000);
  });

  test('close() syncs what everysec left', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, durability: 'everysec' });
    const sync = vi.spyOn(await fileHandle(), 'sync');
    await bench.store.close();
    expect(sync).toHaveBeenCalledTimes(2);
  });

  test('a background sync that fails rejects the next write, once', async () => {
    await bench.store.getRecord('a');
    const sync = vi.spyOn(await fileHandle(), 'sync').mockRejectedValue(errno('EIO'));
    await bench.store.putRecord('a', bytes('x'), { expected: 0, durability: 'everysec' });
    await vi.waitFor(() => expect(sync).toHaveBeenCalled(), { timeout: 3000 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const error = await failure(bench.store.putRecord('a', bytes('y'), { expected: 1, durability: 'none' }));
    expect(error.code).toBe('STORE_FAILED');
    expect(error.cause).toMatchObject({ code: 'EIO' });
    expect(await bench.store.putRecord('a', bytes('y'), { expected: 1, durability: 'none' })).toBe(2);
  });

  test('and close(), when no write comes', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, durability: 'everysec' });
    vi.spyOn(await fileHandle(), 'sync').mockRejectedValue(errno('EIO'));
    expect((await failure(bench.store.close())).code).toBe('STORE_FAILED');
  });

  test('a session deleted before its background sync is no failure', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, durability: 'everysec' });
    await bench.store.deleteRecord('a');
    await bench.store.close();
  });

  test('a late tidying spares a record that was made again', async () => {
    const folder = join(bench.root, 'r');
    const versions = new Versions(folder);
    const file = join(bench.root, 'file');
    await writeFile(file, new Uint8Array([...envelope({ id: 'r' }, 0)]));
    await versions.add(file, 0, false);
    await versions.tidy(9);
    expect(await readdir(folder)).toEqual(['1.record']);
  });
});

describe('trouble with the directory', () => {
  test('temporary files older than an hour are swept at the first use, others stay', async () => {
    await mkdir(join(bench.root, 'tmp'));
    const old = join(bench.root, 'tmp', '.old.tmp');
    await writeFile(old, 'x');
    await writeFile(join(bench.root, 'tmp', '.young.tmp'), 'x');
    await utimes(old, new Date(), new Date(Date.now() - 3_601_000));
    await bench.store.getRecord('a');
    expect(await readdir(join(bench.root, 'tmp'))).toEqual(['.young.tmp']);
  });

  test('a file in its place', async () => {
    await writeFile(join(bench.root, 'file'), 'x');
    for (const path of [join(bench.root, 'file'), join(bench.root, 'file/below')]) {
      const error = await failure(new DirectoryStore(path).getRecord('a'));
      expect(error.code).toBe('STORE_FAILED');
      expect(error.message).toMatch(/a file is where a directory should be; .*choose another directory/);
      expect(error.cause).toBeInstanceOf(Error);
    }
  });

  test('after a failure the next use tries again', async () => {
    await writeFile(join(bench.root, 'blocked'), 'x');
    const blocked = new DirectoryStore(join(bench.root, 'blocked'));
    await failure(blocked.getRecord('a'));
    await rm(join(bench.root, 'blocked'));
    expect(await blocked.putRecord('a', bytes('x'), { expected: 0 })).toBe(1);
    await blocked.close();
  });

  test.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('no permission', async () => {
    await mkdir(join(bench.root, 'locked'), { mode: 0o500 });
    const error = await failure(
      new DirectoryStore(join(bench.root, 'locked')).putRecord('a', bytes('x'), { expected: 0 }),
    );
    expect(error.message).toMatch(/lacks the permission/);
  });

  test('a directory removed underneath is made again by the next write', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    await rm(bench.root, { recursive: true });
    expect(await bench.store.getRecord('a')).toBeUndefined();
    expect((await failure(bench.store.putRecord('a', bytes('x'), { expected: 1 }))).code).toBe('SESSION_CONFLICT');
    expect(await bench.store.putRecord('a', bytes('y'), { expected: 0 })).toBe(1);
    await rm(bench.root, { recursive: true });
    await bench.store.putPage('p', bytes('page'));
    expect(await bench.store.getPage('p')).toBeDefined();
    expect(await bench.store.deleteRecord('a')).toBe(false);
  });

  test('after close() every call fails, and says so', async () => {
    await bench.store.close();
    const calls = [
      () => bench.store.getRecord('a'),
      () => bench.store.putRecord('a', bytes('x'), { expected: 0 }),
      () => bench.store.deleteRecord('a'),
      () => bench.store.listRecords().next(),
      () => bench.store.getPage('a'),
      () => bench.store.putPage('a', bytes('x')),
      () => bench.store.deletePage('a'),
    ];
    for (const call of calls) expect((await failure(call())).message).toMatch(/is closed; open another/);
  });

  test.each(['EACCES', 'EROFS', 'EMFILE', 'ENOENT'])('%s: the message says what to do', (code) => {
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
