import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import { readExport, writeExport, type ExportedKv } from '../../lib/exportfile.js';
import { resolveSessionOptions } from '../../lib/options.js';
import { encodeRecord, type SessionRecord } from '../../lib/record.js';

const engine = { fingerprint: 'f00d', kvFormat: 'b1 f16' };
const record: SessionRecord = {
  id: 'alice',
  createdAt: 1,
  modifiedAt: 2,
  messages: [{ role: 'user', content: 'hi' }],
  metadata: {},
  settings: resolveSessionOptions().settings,
  fingerprint: 'f00d',
  tokens: Int32Array.of(1, 2, 3, 4),
};
const kv: ExportedKv = { kvFormat: 'b1 f16', tokens: 3, bytes: Uint8Array.from({ length: 300 }, (_, i) => i % 256) };
const recordBytes = encodeRecord({ ...record, kv: { key: '', tokens: 3, bytes: 1000 } }).byteLength;

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'export-'));
  path = join(root, 'session.llama');
  return () => rm(root, { recursive: true });
});
async function failure(promise: Promise<unknown>): Promise<LlamaError> {
  const error = await promise.then(
    () => expect.unreachable('should have rejected'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LlamaError);
  return error as LlamaError;
}

test('record and KV come back; the place in a store does not travel', async () => {
  const { bytes } = await writeExport(path, { ...record, kv: { key: 'of my store', tokens: 2, bytes: 5 } }, kv);
  expect((await stat(path)).size).toBe(bytes);
  const imported = await readExport(path, engine);
  expect(imported).toEqual({ record, kv: { kv: kv.bytes, tokens: 3 } });
  expect((await readFile(path)).includes('of my store')).toBe(false);
});

test('a session without KV', async () => {
  await writeExport(path, { ...record, kv: { key: 'k', tokens: 2, bytes: 5 } });
  expect(await readExport(path, engine)).toEqual({ record });
});

test('a large KV', async () => {
  const large = { ...kv, bytes: new Uint8Array(40 * 2 ** 20).fill(7) };
  await writeExport(path, record, large);
  const imported = await readExport(path, engine);
  expect(Buffer.compare(imported.kv?.kv ?? new Uint8Array(), large.bytes)).toBe(0);
});

test('it is written whole or not at all, for this user only, over what was there', async () => {
  await writeFile(path, 'before', { mode: 0o644 });
  await writeExport(path, record, kv);
  expect(await readdir(root)).toEqual(['session.llama']);
  if (process.platform !== 'win32') expect((await stat(path)).mode & 0o777).toBe(0o600);
  const blocked = join(root, 'folder');
  await mkdir(join(blocked, 'full'), { recursive: true });
  const error = await failure(writeExport(blocked, record, kv));
  expect(error.code).toBe('STORE_FAILED');
  expect((await readdir(root)).sort()).toEqual(['folder', 'session.llama']);
});

test('a folder that is not there', async () => {
  const error = await failure(writeExport(join(root, 'no/where'), record));
  expect(error.code).toBe('STORE_FAILED');
  expect(error.message).toMatch(
    /^Could not write the export file in .*no\/where: the directory is not there; create it/,
  );
});

test.each([
  ['model', { ...engine, fingerprint: 'beef' }],
  ['format', { ...engine, kvFormat: 'b2 f16' }],
])('KV of another %s is foreign, the record is there', async (_, other) => {
  await writeExport(path, record, kv);
  expect(await readExport(path, other)).toEqual({ record, kvProblem: 'foreign' });
});

test('cut off anywhere: the record is corrupt, or whole with corrupt KV', async () => {
  await writeExport(path, record, kv);
  const { size } = await stat(path);
  for (let length = size - 1; length >= 0; length -= length > recordBytes - 40 && length < recordBytes + 40 ? 1 : 17) {
    await truncate(path, length);
    const result = await readExport(path, engine).catch((error: unknown) => (error as LlamaError).code);
    const whole = typeof result === 'object';
    if (whole) expect(result).toEqual({ record, kvProblem: 'corrupt' });
    else expect(result).toBe('SNAPSHOT_CORRUPT');
  }
});

test('any byte changed: the same', async () => {
  await writeExport(path, record, kv);
  const good = await readFile(path);
  let corruptKv = 0;
  for (let i = 0; i < good.byteLength; i += 3) {
    const bad = Buffer.from(good);
    bad[i] = (bad[i] ?? 0) ^ 0x40;
    await writeFile(path, bad);
    const result = await readExport(path, engine).catch((error: unknown) => (error as LlamaError).code);
    if (typeof result === 'object') corruptKv++;
    expect(result).toEqual(typeof result === 'object' ? { record, kvProblem: 'corrupt' } : 'SNAPSHOT_CORRUPT');
  }
  expect(corruptKv).toBeGreaterThan(100);
});

test('bytes after the end are corrupt KV, too', async () => {
  for (const given of [kv, undefined]) {
    await writeExport(path, record, given);
    await writeFile(path, 'more', { flag: 'a' });
    expect(await readExport(path, engine)).toEqual({ record, kvProblem: 'corrupt' });
  }
});

test('no such file is SESSION_NOT_FOUND', async () => {
  const error = await failure(readExport(join(root, 'nothing'), engine));
  expect(error.code).toBe('SESSION_NOT_FOUND');
  expect(error.message).toContain(join(root, 'nothing'));
});

test('an empty file and a foreign one are SNAPSHOT_CORRUPT', async () => {
  for (const content of ['', 'GGUF and so on, but no session']) {
    await writeFile(path, content);
    expect((await failure(readExport(path, engine))).code).toBe('SNAPSHOT_CORRUPT');
  }
});

test('a folder is STORE_FAILED; so is a pipe, which nobody waits for', async () => {
  expect((await failure(readExport(root, engine))).message).toMatch(/is no file; give the path of an export file/);
  if (process.platform === 'win32') return;
  execFileSync('mkfifo', [path]);
  expect((await failure(readExport(path, engine))).code).toBe('STORE_FAILED');
});
