/** A budget of pages that has become smaller: many pages go, and the event loop goes on. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { Environment } from '../../lib/stores/environment.js';
import { Ledger } from '../../lib/stores/ledger.js';
import { NOTHING } from '../../lib/stores/tables.js';
import { audit } from '../support/audit.js';
import { bytes, errno, files, makeBench } from '../support/directory.js';

const bench = makeBench();
const { commit } = Environment.prototype;
const PAGES = Array.from({ length: 450 }, (_, i) => String(i));
/** Keys of the index that were changed, per commit. */
let commits: number[];
/** Run when a commit is on its way. */
let onCommit: () => void;

/** As many pages as there were, of one byte each, and room for so many. */
async function shrunk(pageBytes: number): Promise<DirectoryStore> {
  await bench.store.close();
  bench.store = new DirectoryStore(bench.root, { pageBytes });
  expect(await bench.store.getRecord('a')).toBeDefined();
  watchCommits();
  return bench.store;
}

function watchCommits(): void {
  commits = [];
  onCommit = () => undefined;
  vi.spyOn(Environment.prototype, 'commit').mockImplementation(async function (this: Environment, ...given) {
    commits.push(given[0].changes.size);
    const done = commit.apply(this, given);
    onCommit();
    return done;
  });
}

const stored = async (): Promise<string[]> => {
  const found = await Promise.all(
    [...PAGES, 'new'].map(async (key) => ((await bench.store.getPage(key)) === undefined ? '' : key)),
  );
  return found.filter((key) => key !== '');
};

beforeEach(async () => {
  await bench.store.putRecord('a', bytes('x'), { expected: 0, pages: [...PAGES, 'new', 'newer'] });
  // In order, so that it is known which ones were used last.
  for (const key of PAGES) expect(await bench.store.putPage(key, bytes('x'))).toBe(true);
}, 60_000);

test('few go with each commit, and all that are too many in the end, the oldest first', async () => {
  const store = await shrunk(5);
  expect(await store.putPage('new', bytes('x'))).toBe(true);
  expect(commits.length).toBeGreaterThan(4);
  // A page and its use each, and some sums.
  expect(Math.max(...commits)).toBeLessThan(250);
  expect(store.stats()).toMatchObject({ storedPages: 5, storedPageBytes: 5, pageEvictions: 446 });
  expect(await stored()).toEqual([...PAGES.slice(-4), 'new']);
  expect(await files(join(bench.root, 'pages'))).toHaveLength(5);
  await audit(bench.root);
});

test('when many come at once, too', async () => {
  const store = await shrunk(5);
  const again = ['new', 'newer', ...Array.from({ length: 30 }, (_, i) => `more ${String(i)}`)];
  await store.putRecord('b', bytes('x'), { expected: 0, pages: again });
  commits = [];
  await Promise.all(again.map((key) => store.putPage(key, bytes('x'))));
  expect(Math.max(...commits)).toBeLessThan(1300);
  expect(store.stats()).toMatchObject({ storedPages: 5, storedPageBytes: 5 });
  await audit(bench.root);
});

test('no commit has many changes of many keys', async () => {
  const ledger = Ledger.join(bench.root);
  watchCommits();
  const change = (i: number): Promise<void> =>
    ledger.change((draft) => {
      for (let key = 0; key < 300; key++) draft.put(`z${String(i)}/${String(key)}`, NOTHING);
    });
  await Promise.all(Array.from({ length: 20 }, (_, i) => change(i)));
  expect(Math.max(...commits)).toBeLessThanOrEqual(1300);
  expect(await ledger.read((view) => view.range('z', '{', Infinity))).toHaveLength(6000);
  await ledger.leave();
});

test('what others write meanwhile does not wait for all of it', async () => {
  const store = await shrunk(5);
  let written: Promise<number> | undefined;
  const when: number[] = [];
  onCommit = () => {
    written ??= store.putRecord('b', bytes('x'), { expected: 0 }).finally(() => when.push(commits.length));
  };
  await store.putPage('new', bytes('x'));
  await written;
  // The next commit has it.
  expect(when[0]).toBeLessThan(4);
  expect(commits.length).toBeGreaterThan(4);
});

test('what could not go then goes with the next page', async () => {
  const store = await shrunk(5);
  onCommit = () => {
    onCommit = () => undefined;
    vi.spyOn(Environment.prototype, 'commit').mockRejectedValueOnce(errno('ENOSPC'));
  };
  expect(await store.putPage('new', bytes('x'))).toBe(true);
  // Opens the index anew.
  await store.getRecord('a');
  expect(store.stats()['storedPages']).toBeGreaterThan(5);
  expect(await store.putPage('newer', bytes('x'))).toBe(true);
  expect(store.stats()).toMatchObject({ storedPages: 5, storedPageBytes: 5 });
  await store.close();
  expect(await readdir(join(bench.root, 'tmp'))).toEqual([]);
  await audit(bench.root);
});
