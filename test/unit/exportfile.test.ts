import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import { openExport, writeExport } from '../../lib/exportfile.js';
import { resolveSessionOptions } from '../../lib/options.js';
import { pageHeader } from '../../lib/page.js';
import { PageNames, type Page } from '../../lib/pages.js';
import { encodeRecord, type SessionRecord } from '../../lib/record.js';
import { failure } from '../support/directory.js';

const tokens = Int32Array.from({ length: 50 }, (_, i) => i);
const record: SessionRecord = {
  id: 'alice',
  createdAt: 1,
  modifiedAt: 2,
  messages: [{ role: 'user', content: 'hi' }],
  metadata: {},
  settings: resolveSessionOptions().settings,
  fingerprint: 'f00d',
  tokens,
  kvTokens: 50,
};
/** Two full pages and a short one. */
const names = new PageNames('f00d', 'b1 f16', 16);
const pages = names.of(tokens.subarray(0, 48));
const kvOf = ({ from, to }: Page): Uint8Array => Uint8Array.from({ length: 4 * (to - from) }, (_, i) => from + i);
const read = (page: Page): Promise<Uint8Array> => Promise.resolve(kvOf(page));
const write = (some: readonly Page[] = pages): Promise<{ bytes: number }> => writeExport(path, record, some, read);

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'export-'));
  path = join(root, 'session.llama');
  return () => rm(root, { recursive: true });
});

/** What can be had of the file: how many of the wanted pages, each as it was written, and what ended them. */
interface Taken {
  record: SessionRecord;
  pages: number;
  problem: string | undefined;
}

async function take(wanted: readonly Page[] = pages): Promise<Taken> {
  const file = await openExport(path);
  try {
    const taken = file.pages(wanted);
    for (let count = 0; ; count++) {
      const next = await taken.next();
      if (next.done === true) return { record: file.record, pages: count, problem: next.value };
      expect(next.value.page).toBe(wanted[count]);
      expect(Buffer.compare(next.value.kv, kvOf(next.value.page))).toBe(0);
    }
  } finally {
    await file.close();
  }
}

/** The same of a file that may be damaged: what it comes to, or the code of its error. */
async function attempt(): Promise<Taken | string> {
  return take().catch(async (error: unknown) => (await failure(Promise.reject(error as Error))).code);
}

test('record and KV come back, page by page', async () => {
  const { bytes } = await write();
  expect((await stat(path)).size).toBe(bytes);
  expect(await take()).toEqual({ record: { ...record, kvTokens: 48 }, pages: 3, problem: undefined });
});

test('a session without KV, whatever its record said', async () => {
  await write([]);
  expect(await take([])).toEqual({ record: { ...record, kvTokens: 0 }, pages: 0, problem: undefined });
  expect(await take()).toMatchObject({ pages: 0, problem: 'corrupt' });
});

test('pages are written as far as they can be read', async () => {
  const asked: Page[] = [];
  await writeExport(path, record, pages, (page) => {
    asked.push(page);
    return page === pages[1] ? Promise.resolve(undefined) : read(page);
  });
  // The record, which comes first, promises no more than what follows.
  expect(asked).toEqual([pages[0], pages[1], pages[0]]);
  expect(await take(pages.slice(0, 1))).toEqual({ record: { ...record, kvTokens: 16 }, pages: 1, problem: undefined });
  expect(await readdir(root)).toEqual(['session.llama']);
});

test('a page is on the disk before the next one is read: a session of gigabytes takes no gigabytes of memory', async () => {
  const sizes: number[] = [];
  await writeExport(path, record, pages, async (page) => {
    for (const name of await readdir(root)) sizes.push((await stat(join(root, name))).size);
    return read(page);
  });
  const [beforeFirst = NaN, beforeSecond = NaN, beforeThird = NaN] = sizes;
  expect(beforeSecond - beforeFirst).toBeGreaterThanOrEqual(64);
  expect(beforeThird - beforeSecond).toBeGreaterThanOrEqual(64);
});

test('what fails while pages are read leaves nothing behind', async () => {
  const broken = (): Promise<never> => Promise.reject(new LlamaError('DECODE_FAILED', 'gone'));
  expect((await failure(writeExport(path, record, pages, broken))).code).toBe('DECODE_FAILED');
  expect(await readdir(root)).toEqual([]);
});

test('large pages', async () => {
  const large = [...names.of(tokens.subarray(0, 32))];
  const kv = large.map((_, i) => new Uint8Array(20 * 2 ** 20).fill(7 + i));
  await writeExport(path, record, large, (page) => Promise.resolve(kv[large.indexOf(page)]));
  const file = await openExport(path);
  let count = 0;
  for await (const page of file.pages(large)) expect(Buffer.compare(page.kv, kv[count++]!)).toBe(0);
  expect(count).toBe(2);
  await file.close();
});

test('it is written whole or not at all, for this user only, over what was there', async () => {
  await writeFile(path, 'before', { mode: 0o644 });
  await write();
  expect(await readdir(root)).toEqual(['session.llama']);
  if (process.platform !== 'win32') expect((await stat(path)).mode & 0o777).toBe(0o600);
  const blocked = join(root, 'folder');
  await mkdir(join(blocked, 'full'), { recursive: true });
  const error = await failure(writeExport(blocked, record, pages, read));
  expect(error.code).toBe('STORE_FAILED');
  expect((await readdir(root)).sort()).toEqual(['folder', 'session.llama']);
});

test('a folder that is not there', async () => {
  const error = await failure(writeExport(join(root, 'no/where'), record, [], read));
  expect(error.code).toBe('STORE_FAILED');
  expect(error.message).toMatch(
    /^Could not write the export file in .*no\/where: the directory is not there; create it/,
  );
});

test.each([
  ['model', new PageNames('beef', 'b1 f16', 16)],
  ['format', new PageNames('f00d', 'b2 f16', 16)],
  ['page size', new PageNames('f00d', 'b1 f16', 24)],
])('KV of another %s is foreign, the record is there', async (_, other) => {
  await write();
  const wanted = other.of(tokens.subarray(0, 48));
  expect(await take(wanted)).toEqual({ record: { ...record, kvTokens: 48 }, pages: 0, problem: 'foreign' });
});

test('pages that begin alike are taken up to where they differ', async () => {
  await write();
  const other = Int32Array.from(tokens).fill(99, 20);
  expect(await take(names.of(other))).toMatchObject({ pages: 1, problem: 'foreign' });
});

test('fewer or more pages than the file has', async () => {
  await write(pages.slice(0, 2));
  expect(await take(pages.slice(0, 1))).toMatchObject({ pages: 1, problem: 'corrupt' });
  expect(await take(pages)).toMatchObject({ pages: 2, problem: 'corrupt' });
});

test('cut off anywhere: the record is corrupt, or whole with the pages before the cut', async () => {
  await write();
  const { size } = await stat(path);
  // Where a part of the file ends.
  const ends = [encodeRecord({ ...record, kvTokens: 48 }).byteLength];
  for (const page of pages) {
    const header = await pageHeader(page.key, kvOf(page));
    ends.push((ends.at(-1) ?? 0) + header.byteLength + kvOf(page).byteLength);
  }
  expect(ends.at(-1)).toBe(size);
  for (let length = size - 1; length >= 0; length--) {
    await truncate(path, length);
    const whole = ends.filter((end) => end <= length).length;
    const expected = { record: { ...record, kvTokens: 48 }, pages: whole - 1, problem: 'corrupt' };
    expect(await attempt()).toEqual(whole === 0 ? 'SNAPSHOT_CORRUPT' : expected);
  }
});

test('any byte changed: the same', async () => {
  await write();
  const good = await readFile(path);
  const counts = { record: 0, pages: [0, 0, 0] };
  for (let i = 0; i < good.byteLength; i++) {
    const bad = Buffer.from(good);
    bad[i] = (bad[i] ?? 0) ^ 0x40;
    await writeFile(path, bad);
    const result = await attempt();
    if (typeof result === 'string') {
      expect(result).toBe('SNAPSHOT_CORRUPT');
      counts.record++;
    } else {
      expect(result.problem).toBe('corrupt');
      counts.pages[result.pages]!++;
    }
  }
  // Damage of a page costs that page and those behind it, none before it.
  for (const page of pages) {
    const bytes = (await pageHeader(page.key, kvOf(page))).byteLength + kvOf(page).byteLength;
    expect(counts.pages[pages.indexOf(page)]).toBe(bytes);
  }
  expect(counts.record).toBe(encodeRecord({ ...record, kvTokens: 48 }).byteLength);
});

test('bytes after the end are corrupt KV, too', async () => {
  for (const some of [pages, []]) {
    await write(some);
    await writeFile(path, 'more', { flag: 'a' });
    expect(await take(some)).toMatchObject({ pages: some.length, problem: 'corrupt' });
  }
});

test('pages are read when they are asked for, and what can not be read then is not there', async () => {
  await write();
  const file = await openExport(path);
  const taken = file.pages(pages);
  await taken.next();
  await file.close();
  expect(await taken.next()).toEqual({ done: true, value: 'corrupt' });
});

test('no such file is SESSION_NOT_FOUND', async () => {
  const error = await failure(openExport(join(root, 'nothing')));
  expect(error.code).toBe('SESSION_NOT_FOUND');
  expect(error.message).toContain(join(root, 'nothing'));
});

test('an empty file and a foreign one are SNAPSHOT_CORRUPT', async () => {
  for (const content of ['', 'GGUF and so on, but no session']) {
    await writeFile(path, content);
    expect((await failure(openExport(path))).code).toBe('SNAPSHOT_CORRUPT');
  }
});

test('a folder is STORE_FAILED; so is a pipe, which nobody waits for', async () => {
  expect((await failure(openExport(root))).message).toMatch(/is no file; give the path of an export file/);
  if (process.platform === 'win32') return;
  execFileSync('mkfifo', [path]);
  expect((await failure(openExport(path))).code).toBe('STORE_FAILED');
});
