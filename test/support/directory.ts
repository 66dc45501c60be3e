/** A DirectoryStore in a folder of its own, for each test of a file. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import { DirectoryStore } from '../../lib/stores/directory.js';

/** What a test works on. */
export interface Bench {
  root: string;
  store: DirectoryStore;
}

/** Sets `root` and `store` before each test of the file that calls it, and clears away afterwards. */
export function makeBench(): Bench {
  const bench = {} as Bench;
  beforeEach(async () => {
    bench.root = await mkdtemp(join(tmpdir(), 'directory-'));
    bench.store = new DirectoryStore(bench.root);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await bench.store.close().catch(() => undefined);
    await rm(bench.root, { recursive: true, force: true });
  });
  return bench;
}

/** Text as bytes. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A record as `version:text`. */
export async function read(store: DirectoryStore, id: string): Promise<string | undefined> {
  const record = await store.getRecord(id);
  return record && `${String(record.version)}:${new TextDecoder().decode(record.bytes)}`;
}

/** All files below a folder. */
export async function files(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** The LlamaError that it rejects with. */
export async function failure(promise: Promise<unknown>): Promise<LlamaError> {
  const error = await promise.then(
    () => expect.unreachable('should have rejected'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LlamaError);
  return error as LlamaError;
}

/** An error of the system. */
export function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}
