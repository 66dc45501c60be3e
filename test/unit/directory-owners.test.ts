/** What processes that ended leave behind: claims, files, pages without one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { Ledger } from '../../lib/stores/ledger.js';
import { ended, nameOf, parseName, self, type ProcessName } from '../../lib/stores/process.js';
import { keys } from '../../lib/stores/tables.js';
import { audit } from '../support/audit.js';
import { bytes, failure, files, makeBench } from '../support/directory.js';

const bench = makeBench();
let deadPid: number;
beforeEach(async () => {
  const child = spawn(process.execPath, ['-e', '']);
  deadPid = child.pid ?? 0;
  await once(child, 'exit');
});

describe('whether a process has ended', () => {
  test('this one has not, one that exited has', () => {
    expect(ended(self)).toBe(false);
    expect(ended({ ...self, pid: deadPid })).toBe(true);
  });

  test('one whose number was given to another has', () => {
    // Elsewhere the system doesn't tell when a process was started.
    expect(ended({ ...self, started: '1' })).toBe(process.platform === 'linux');
    expect(ended({ ...self, started: '' })).toBe(false);
  });

  test('of one elsewhere nobody knows', () => {
    expect(ended({ ...self, place: '0'.repeat(16) })).toBeUndefined();
  });

  test('its name can be read again', () => {
    expect(parseName(nameOf(self))).toEqual(self);
    for (const name of ['', 'x', '1', '1-2', '1-2-xyz', 'hello.txt']) expect(parseName(name)).toBeUndefined();
  });
});

describe('claims of others', () => {
  interface Other extends ProcessName {
    thread: number;
    beatAt: number;
  }
  const claimBy = async (owner: Partial<Other> | undefined): Promise<void> => {
    const ledger = Ledger.join(bench.root);
    await ledger.change((draft) => {
      draft.put(keys.claim('a'), Buffer.from('somebody'));
      const known = { ...self, thread: 0, beatAt: Date.now(), ...owner };
      if (owner !== undefined) draft.put(keys.owner('somebody'), Buffer.from(JSON.stringify(known)));
    });
    await ledger.leave();
  };
  const elsewhere = { place: '0'.repeat(16) };

  test.each<[string, Partial<Other> | undefined]>([
    ['that runs here', {}],
    ['that runs here and has been silent for long', { beatAt: 0 }],
    ['elsewhere that was heard just now', elsewhere],
    ['elsewhere whose clock is ahead', { ...elsewhere, beatAt: Date.now() + 20_000 }],
    ['in a thread that was heard just now', { thread: 3 }],
  ])('one %s keeps its claim', async (_, owner) => {
    await claimBy(owner);
    expect((await failure(bench.store.claim('a', false))).code).toBe('SESSION_CONFLICT');
    expect((await failure(bench.store.putRecord('a', bytes('x'), { expected: 0 }))).code).toBe('SESSION_CONFLICT');
    await bench.store.sweep();
    expect((await failure(bench.store.claim('a', false))).code).toBe('SESSION_CONFLICT');
    await bench.store.claim('a', true);
    expect(await bench.store.putRecord('a', bytes('x'), { expected: 0 })).toBe(1);
  });

  test.each<[string, () => Partial<Other> | undefined]>([
    ['that exited', () => ({ pid: deadPid })],
    ['elsewhere that has been silent for long', () => ({ ...elsewhere, beatAt: Date.now() - 31_000 })],
    ['elsewhere, heard in a far future that never was', () => ({ ...elsewhere, beatAt: Date.now() + 31_000 })],
    ['in a thread that has been silent for long', () => ({ thread: 3, beatAt: Date.now() - 31_000 })],
    ['that nobody knows', () => undefined],
  ])('one %s has lost it', async (_, owner) => {
    await claimBy(owner());
    expect(await bench.store.putRecord('a', bytes('x'), { expected: 0 })).toBe(1);
    await bench.store.claim('a', false);
  });

  test('a sweep forgets owners that ended, and what they claimed', async () => {
    await claimBy({ pid: deadPid });
    await bench.store.sweep();
    const ledger = Ledger.join(bench.root);
    expect(await ledger.read((view) => view.range('c', 'd', 9))).toEqual([]);
    expect(await ledger.read((view) => view.range('o', 'p', 9))).toEqual([]);
    await ledger.leave();
  });

  test('who holds a claim says that it lives, and no longer than it does', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
    const beats = async (): Promise<number[]> => {
      const ledger = Ledger.join(bench.root);
      const owners = await ledger.read((view) => view.range('o', 'p', 9));
      await ledger.leave();
      return owners.map(([, value]) => (JSON.parse(value.toString()) as Other).beatAt);
    };
    try {
      await bench.store.claim('a', false);
      const begun = Date.now();
      expect(await beats()).toEqual([begun]);
      vi.advanceTimersByTime(10_000);
      await vi.waitFor(async () => expect((await beats())[0]).toBeGreaterThanOrEqual(begun + 10_000));
      await bench.store.release('a');
      expect(await beats()).toEqual([]);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a sweep', () => {
  const page = 'ab'.repeat(32) + '-' + '0'.repeat(16);

  test('removes files that the index does not know, and leaves strangers alone', async () => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p'] });
    await bench.store.putPage('p', bytes('page'));
    await mkdir(join(bench.root, 'pages', 'ab'), { recursive: true });
    await writeFile(join(bench.root, 'pages', 'ab', page), 'orphan');
    await writeFile(join(bench.root, 'pages', 'ab', '.DS_Store'), 'stranger');
    // Of a page that was stored again since.
    const [stored = ''] = (await files(join(bench.root, 'pages'))).filter((path) => !path.includes('/ab/'));
    await writeFile(stored.replace(/-.{16}$/, `-${'0'.repeat(16)}`), 'older');
    await bench.store.sweep();
    expect(await readdir(join(bench.root, 'pages', 'ab'))).toEqual(['.DS_Store']);
    expect(await bench.store.getPage('p')).toEqual(Uint8Array.from(bytes('page')));
    expect(bench.store.stats()).toMatchObject({ sweptFiles: 2, storedPages: 1 });
    await rm(join(bench.root, 'pages', 'ab'), { recursive: true });
    await audit(bench.root);
  });

  test.each([
    ['gone', (path: string) => rm(path)],
    ['cut off', (path: string) => truncate(path)],
  ])('drops pages whose file is %s', async (_, damage) => {
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['p', 'q'] });
    for (const key of ['p', 'q']) await bench.store.putPage(key, bytes(key));
    const [damaged = ''] = await files(join(bench.root, 'pages'));
    await damage(damaged);
    await bench.store.sweep();
    expect(bench.store.stats()).toMatchObject({ storedPages: 1, storedPageBytes: 1 });
    await audit(bench.root);
  });

  test('removes what dead processes were writing, and what nobody can ask after an hour', async () => {
    const tmp = join(bench.root, 'tmp');
    await mkdir(tmp);
    const elsewhere = nameOf({ ...self, place: '0'.repeat(16) });
    const old = `${page}.${elsewhere}`;
    const others = [`${page.slice(0, -1)}1.${elsewhere}`, `${page}.${nameOf(self)}`, 'stranger'];
    for (const name of [old, `${page}.${nameOf({ ...self, pid: deadPid })}`, ...others])
      await writeFile(join(tmp, name), 'x');
    await utimes(join(tmp, old), new Date(), new Date(Date.now() - 3_601_000));
    await bench.store.sweep();
    expect((await readdir(tmp)).sort()).toEqual(others.sort());
  });

  test('happens by itself at the first use', async () => {
    await mkdir(join(bench.root, 'pages', 'ab'), { recursive: true });
    await writeFile(join(bench.root, 'pages', 'ab', page), 'orphan');
    await bench.store.getRecord('a');
    await vi.waitFor(async () => expect(await readdir(join(bench.root, 'pages', 'ab'))).toEqual([]));
  });

  test('takes nothing from those who write at the same time', async () => {
    const writer = new DirectoryStore(bench.root);
    const keysOf = Array.from({ length: 60 }, (_, i) => String(i));
    await writer.putRecord('a', bytes('x'), { expected: 0, pages: keysOf });
    const writing = { busy: true };
    const sweeps = (async () => {
      while (writing.busy) await bench.store.sweep();
    })();
    for (const key of keysOf) expect(await writer.putPage(key, bytes(key))).toBe(true);
    writing.busy = false;
    await sweeps;
    for (const key of keysOf) expect(await writer.getPage(key)).toBeDefined();
    await writer.close();
    await audit(bench.root);
  });
});

describe('the use of pages', () => {
  test('is noted late, and saves a page from eviction whatever the clock does', async () => {
    await bench.store.close();
    bench.store = new DirectoryStore(bench.root, { pageBytes: 3 });
    await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: ['1', '2', '3', '4'] });
    vi.useFakeTimers({ toFake: ['Date'] });
    try {
      const noon = Date.now();
      for (const key of ['1', '2', '3']) await bench.store.putPage(key, bytes(key));
      // An hour back: what is used now is used later than before all the same.
      vi.setSystemTime(noon - 3_600_000);
      await bench.store.getPage('1');
      await bench.store.close();
      bench.store = new DirectoryStore(bench.root, { pageBytes: 3 });
      await bench.store.putPage('4', bytes('4'));
      expect(await bench.store.getPage('1')).toBeDefined();
      expect(await bench.store.getPage('2')).toBeUndefined();
    } finally {
      vi.useRealTimers();
    }
  });
});
