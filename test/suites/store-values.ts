/** What the parts of the store suite have in common. */
import { expect } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import type { ListedRecord, RecordFilter, SessionStore, StoredRecord } from '../../lib/stores/store.js';

/** The store of the test that runs. */
export interface StoreUnderTest {
  store: SessionStore;
  /** The same data through another store, where there can be one. */
  reopened(): Promise<SessionStore>;
}

export function weirdIds(): string[] {
  const paths = [
    '',
    '.',
    '..',
    '../../x',
    '/etc/passwd',
    'a/b',
    'a\\b',
    'C:\\x',
    'con',
    'nul.txt',
    'x.',
    ' ',
    '*',
    '%2e%2e',
  ];
  const characters = [
    '\0',
    'a\0b',
    '\n',
    '\u202e',
    '😀',
    'e\u0301',
    '\ud800',
    '\udc00x',
    '__proto__',
    'constructor',
    "'; --",
  ];
  return [...paths, ...characters, 'x'.repeat(256), '漢'.repeat(256)];
}

export function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

export function allBytes(): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, i) => i);
}

/** Bytes without a pattern, the same each time. */
export function random(length: number): Uint8Array {
  let state = length + 1;
  return Uint8Array.from({ length }, () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) >>> 16);
}

export function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;
}

/** A record with its bytes as text. */
export function plain(record: StoredRecord | undefined): Record<string, unknown> | undefined {
  return record && { ...record, bytes: new TextDecoder().decode(record.bytes) };
}

/** Writes a record that names these pages, over the one that is there. */
export async function name(store: SessionStore, id: string, ...pages: string[]): Promise<void> {
  const expected = (await store.getRecord(id))?.version ?? 0;
  await store.putRecord(id, text('record'), { expected, pages, durability: 'none' });
}

export async function all(store: SessionStore, filter?: RecordFilter): Promise<ListedRecord[]> {
  const records: ListedRecord[] = [];
  for await (const record of store.listRecords(filter)) records.push(record);
  return records;
}

export async function expectCode(promise: Promise<unknown>, code: string): Promise<void> {
  await promise.then(
    () => expect.unreachable(`should have rejected with ${code}`),
    (error: unknown) => {
      expectCodeOf(error, code);
    },
  );
}

export function expectCodeOf(error: unknown, code: string): void {
  expect(error).toBeInstanceOf(LlamaError);
  expect((error as LlamaError).code).toBe(code);
}
