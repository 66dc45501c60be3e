/** Directories that somebody else has changed, filled, or locked. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { Environment } from '../../lib/stores/environment.js';
import { audit } from '../support/audit.js';
import { bytes, errno, failure, makeBench, read } from '../support/directory.js';

const bench = makeBench();

describe('an index that is none', () => {
  test.each([
    ['other bytes', (path: string) => writeFile(path, Buffer.alloc(40_960, 0x5a)), /is no index/],
    ['a short text', (path: string) => writeFile(path, 'hello'), /is no index/],
    ['blank', (path: string) => writeFile(path, Buffer.alloc(65_536)), /is no index/],
    ['cut off after its head', (path: string) => truncate(path, 8192), /is damaged/],
    ['cut off in its head', (path: string) => truncate(path, 4096), /is damaged/],
    ['overwritten in the middle', (path: string) => overwrite(path, 4096, Buffer.alloc(40_960, 0x5a)), /is damaged/],
  ])('%s: a failure that names the file', async (_, damage, message) => {
    for (let i = 0; i < 20; i++) await bench.store.putRecord(String(i), Buffer.alloc(5000), { expected: 0 });
    await bench.store.close();
    const path = join(bench.root, 'index', 'index.db');
    await damage(path);
    await rm(`${path}-wal`); // it would mend much of that
    bench.store = new DirectoryStore(bench.root);
    const error = await failure(bench.store.getRecord('1'));
    expect(error.code).toBe('STORE_FAILED');
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
    await bench.store.close();
    await rm(path);
    bench.store = new DirectoryStore(bench.root);
    expect(await bench.store.putRecord('1', bytes('new'), { expected: 0 })).toBe(1);
  });

  test('a log and locks of other bytes are made anew', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0 });
    await bench.store.close();
    for (const end of ['wal', 'shm'])
      await writeFile(join(bench.root, 'index', `index.db-${end}`), Buffer.alloc(40_000, 0x41));
    bench.store = new DirectoryStore(bench.root);
    expect(await read(bench.store, 'a')).toBe('1:x');
  });
});

async function overwrite(path: string, at: number, with_: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(with_, 0, with_.byteLength, at);
  await file.close();
}

test('after a commit that failed the index is opened anew', async () => {
  await bench.store.putRecord('a', bytes('x'), { expected: 0 });
  const open = vi.spyOn(Environment, 'open');
  vi.spyOn(Environment.prototype, 'commit').mockRejectedValueOnce(errno('EIO'));
  const error = await failure(bench.store.putRecord('a', bytes('y'), { expected: 1 }));
  expect(error.message).toMatch(/disk failed or is full/);
  expect(open).not.toHaveBeenCalled();
  expect(await bench.store.putRecord('a', bytes('y'), { expected: 1 })).toBe(2);
  expect(open).toHaveBeenCalledOnce();
});

test('figures that cannot be read are none, and the next ones are read again', async () => {
  await bench.store.putRecord('a', bytes('x'), { expected: 0 });
  const read = vi.spyOn(Environment.prototype, 'read').mockImplementationOnce(() => {
    throw errno('SQLITE_IOERR');
  });
  expect(bench.store.stats()).toEqual({});
  expect(read).toHaveBeenCalledOnce();
  expect(bench.store.stats()).toMatchObject({ storedPages: 0 });
});

describe('a directory that cannot be used', () => {
  test('a file in its place', async () => {
    await writeFile(join(bench.root, 'file'), 'x');
    await writeFile(join(bench.root, 'index'), 'x');
    for (const path of ['file', 'file/below', '.']) {
      const store = new DirectoryStore(join(bench.root, path));
      const error = await failure(store.getRecord('a'));
      expect(error.code).toBe('STORE_FAILED');
      expect(error.message).toMatch(/a file is where a directory should be; .*choose another directory/);
      expect(error.cause).toBeInstanceOf(Error);
      await store.close();
    }
  });

  test('after a failure the next use tries again', async () => {
    await writeFile(join(bench.root, 'blocked'), 'x');
    const blocked = new DirectoryStore(join(bench.root, 'blocked'));
    await failure(blocked.putRecord('a', bytes('x'), { expected: 0 }));
    await rm(join(bench.root, 'blocked'));
    expect(await blocked.putRecord('a', bytes('x'), { expected: 0 })).toBe(1);
    await blocked.close();
  });

  // To root everything is permitted; Windows has no modes.
  test.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('no permission', async () => {
    await mkdir(join(bench.root, 'locked'), { mode: 0o500 });
    const locked = new DirectoryStore(join(bench.root, 'locked'));
    expect((await failure(locked.putRecord('a', bytes('x'), { expected: 0 }))).message).toMatch(/lacks the permission/);
    await locked.close();
  });
});

describe('a directory that is removed while it is open', () => {
  const put = { expected: 0, pages: ['p'] };
  beforeEach(async () => {
    await bench.store.claim('a', false);
    await bench.store.putRecord('a', bytes('x'), put);
    await bench.store.putPage('p', bytes('page'));
  });

  /** Every method says so. */
  async function expectLost(): Promise<void> {
    const { store, root } = bench;
    const list = async (): Promise<void> => {
      for await (const { id } of store.listRecords()) expect(id).toBeUndefined();
    };
    const calls: (() => Promise<unknown>)[] = [
      () => store.getRecord('a'),
      () => store.putRecord('a', bytes('y'), { ...put, expected: 1 }),
      () => store.putRecord('b', bytes('y'), put),
      () => store.deleteRecord('a'),
      list,
      () => store.listExpired(0, 1),
      () => store.claim('a', true),
      () => store.getPage('p'),
      () => store.putPage('p', bytes('page')),
      () => store.putPage('q', bytes('page')),
      () => store.deletePage('p'),
      () => store.sweep(),
    ];
    for (const call of calls) {
      const error = await failure(call());
      expect(error.code).toBe('STORE_FAILED');
      expect(error.message).toMatch(/removed or replaced while it was open; put it back/);
      expect(error.message).toContain(root);
      expect(error.cause).toMatchObject({ code: 'ESTALE' });
    }
  }

  test('it says so, and is not made again', async () => {
    await rm(bench.root, { recursive: true });
    await expectLost();
    expect(existsSync(bench.root)).toBe(false);
    // What it had claimed is gone too.
    await bench.store.close();
  });

  test('put back, it goes on with all that was in it', async () => {
    await rename(bench.root, `${bench.root}.away`);
    await expectLost();
    await rename(`${bench.root}.away`, bench.root);
    expect(await bench.store.putRecord('a', bytes('y'), { ...put, expected: 1 })).toBe(2);
    expect(await bench.store.getPage('p')).toEqual(Uint8Array.from(bytes('page')));
    await bench.store.close();
    await audit(bench.root);
  });

  test('another one in its place is not taken for it', async () => {
    await rm(bench.root, { recursive: true });
    const other = new DirectoryStore(bench.root);
    expect(await other.getRecord('a')).toBeUndefined();
    expect(await other.putRecord('a', bytes('other'), { expected: 0 })).toBe(1);
    await expectLost();
    expect(await read(other, 'a')).toBe('1:other');
    await bench.store.close();
    expect(await other.putRecord('a', bytes('other'), { expected: 1 })).toBe(2);
    await other.close();
    await audit(bench.root);
  });

  test('after a failure that closes the index, neither', async () => {
    vi.spyOn(Environment.prototype, 'commit').mockRejectedValueOnce(errno('EIO'));
    await failure(bench.store.putRecord('a', bytes('y'), { ...put, expected: 1 }));
    await rm(bench.root, { recursive: true });
    await expectLost();
    expect(existsSync(bench.root)).toBe(false);
  });

  test('what is being written just then is not acknowledged', async () => {
    const { commit } = Environment.prototype;
    vi.spyOn(Environment.prototype, 'commit').mockImplementationOnce(async function (this: Environment, ...given) {
      const done = await commit.apply(this, given);
      await rm(bench.root, { recursive: true });
      return done;
    });
    const error = await failure(bench.store.putRecord('a', bytes('y'), { ...put, expected: 1 }));
    expect(error.cause).toMatchObject({ code: 'ESTALE' });
  });
});

// Only root of Linux can make a small file system.
describe.skipIf(!canMount())('a file system of its own', () => {
  let path: string;
  beforeEach(async () => {
    path = join(bench.root, 'mount');
    await mkdir(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'none', path]);
  });
  afterEach(() => {
    // Lazily: a test that failed may have files open.
    execFileSync('umount', ['-l', path]);
  });

  test('that is full: nothing acknowledged is lost, and it goes on when there is room', async () => {
    await writeFile(join(path, 'ballast'), Buffer.alloc(500_000));
    const store = new DirectoryStore(path);
    let written = 0;
    const fill = async (): Promise<never> => {
      for (;;) {
        await store.putRecord(String(written), Buffer.alloc(100_000, written), { expected: 0, pages: ['p'] });
        written++;
      }
    };
    const error = await failure(fill());
    expect(error.code).toBe('STORE_FAILED');
    expect(error.message).toMatch(/disk (failed or is full|is full); free some space/);
    expect((await failure(store.putPage('p', Buffer.alloc(2_000_000)))).message).toMatch(/disk is full/);
    await rm(join(path, 'ballast'));
    for (let i = 0; i < 10; i++) expect(await store.deleteRecord(String(i))).toBe(true);
    expect(await store.putRecord('again', Buffer.alloc(100_000), { expected: 0 })).toBeGreaterThan(1);
    await store.close();
    const reopened = new DirectoryStore(path);
    for (let i = 10; i < written; i++) {
      expect(Buffer.alloc(100_000, i).equals((await reopened.getRecord(String(i)))?.bytes ?? new Uint8Array())).toBe(
        true,
      );
    }
    await reopened.close();
  });

  test('that is full of pages: sessions can be deleted, and so there is room', async () => {
    const store = new DirectoryStore(path);
    let pages = 0;
    const fill = async (): Promise<never> => {
      for (;;) {
        const name = `p${String(pages)}`;
        await store.putRecord(String(pages), bytes('x'), { expected: 0, pages: [name] });
        await store.putPage(name, Buffer.alloc(100_000, pages));
        pages++;
      }
    };
    expect((await failure(fill())).message).toMatch(/disk is full/);
    for (let i = 0; i < pages; i++) expect(await store.deleteRecord(String(i))).toBe(true);
    await store.putRecord('again', bytes('x'), { expected: 0, pages: ['again'] });
    expect(await store.putPage('again', Buffer.alloc(500_000))).toBe(true);
    await store.close();
  });

  test('that is full before there is an index', async () => {
    await writeFile(join(path, 'ballast'), Buffer.alloc(3 * 2 ** 20 - 16_384));
    const store = new DirectoryStore(path);
    await failure(store.putRecord('a', Buffer.alloc(50_000), { expected: 0 }));
    await rm(join(path, 'ballast'));
    expect(await store.putRecord('a', Buffer.alloc(50_000), { expected: 0 })).toBe(1);
    await store.close();
  });

  test('that is read-only', async () => {
    const writer = new DirectoryStore(path);
    await writer.putRecord('a', bytes('x'), { expected: 0 });
    await writer.close();
    execFileSync('mount', ['-o', 'remount,ro', path]);
    const store = new DirectoryStore(path);
    expect((await failure(store.getRecord('a'))).message).toMatch(/read-only; choose a directory/);
    await store.close();
  });
});

function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
