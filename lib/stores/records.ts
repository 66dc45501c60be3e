import { checkClaim, tooLong } from './owners.js';
import { count, nameOnePage, unnamePage } from './pages.js';
import { conflict } from './rules.js';
import type { DeleteRecordOptions, ListedRecord, PutRecordOptions, RecordFilter, StoredRecord } from './store.js';
import {
  afterAll,
  expiredBy,
  keys,
  LONGEST_ID,
  NOTHING,
  pageHash,
  readListed,
  readTotals,
  rest,
  writeListed,
  type Listed,
} from './tables.js';
import type { Draft, View } from './view.js';

const HASH_BYTES = 32;

export function getRecord(view: View, id: string): StoredRecord | undefined {
  const listed = getListed(view, id);
  if (listed === undefined) return undefined;
  const bytes = Uint8Array.from(view.get(keys.bytes(id)) ?? []);
  const record: StoredRecord = { version: listed.version, bytes };
  if (listed.expiresAt !== undefined) record.expiresAt = listed.expiresAt;
  return record;
}

/**
 * @returns the new version, and the files of pages that nothing names any more
 * @throws LlamaError SESSION_CONFLICT
 */
export function putRecord(
  draft: Draft,
  id: string,
  bytes: Buffer,
  options: PutRecordOptions,
  owner: string,
): { version: number; files: string[] } {
  if (id.length > LONGEST_ID) throw tooLong();
  checkClaim(draft, id, owner);
  const before = getListed(draft, id);
  const stored = before?.version ?? 0;
  if (stored !== options.expected) throw conflict(options.expected, stored);
  const { expiresAt, info = new Uint8Array() } = options;
  const version = (before?.version ?? readTotals(draft).deletedVersion) + 1;
  draft.put(keys.listed(id), writeListed({ version, expiresAt, info }));
  draft.put(keys.bytes(id), bytes);
  if (before?.expiresAt !== undefined) draft.remove(keys.expiry(before.expiresAt, id));
  if (expiresAt !== undefined) draft.put(keys.expiry(expiresAt, id), NOTHING);
  return { version, files: namePages(draft, id, new Set(options.pages?.map(pageHash))) };
}

/**
 * @returns whether there was one, and the files of pages that nothing names any more
 * @throws LlamaError SESSION_CONFLICT
 */
export function deleteRecord(
  draft: Draft,
  id: string,
  { expected }: DeleteRecordOptions,
  owner: string,
): { deleted: boolean; files: string[] } {
  const before = getListed(draft, id);
  if (before === undefined) return { deleted: false, files: [] };
  if (expected !== undefined) {
    checkClaim(draft, id, owner);
    if (before.version !== expected) throw conflict(expected, before.version);
  }
  count(draft, (totals) => (totals.deletedVersion = Math.max(totals.deletedVersion, before.version)));
  draft.remove(keys.listed(id));
  draft.remove(keys.bytes(id));
  if (before.expiresAt !== undefined) draft.remove(keys.expiry(before.expiresAt, id));
  return { deleted: true, files: namePages(draft, id, new Set()) };
}

/** The first of those records, at most `most`. */
export function listRecords(view: View, filter: RecordFilter, most: number): ListedRecord[] {
  const { prefix = '', after } = filter;
  if (prefix.length > LONGEST_ID) return [];
  const first = keys.listed(prefix);
  // No id is longer: what comes after the whole comes after its beginning.
  const next = after === undefined ? first : `${keys.listed(after.slice(0, LONGEST_ID))}\0`;
  return view.range(next > first ? next : first, afterAll(first), most).map(([key, value]) => {
    const { version, info, expiresAt } = readListed(value);
    const record: ListedRecord = { id: rest.listed(key), version, info: Uint8Array.from(info) };
    if (expiresAt !== undefined) record.expiresAt = expiresAt;
    return record;
  });
}

export function listExpired(view: View, now: number, limit: number): string[] {
  return view.range(...expiredBy(now), limit).map(([key]) => rest.expiry(key));
}

function namePages(draft: Draft, id: string, named: ReadonlySet<string>): string[] {
  const before = new Set(hashesIn(draft.get(keys.names(id))));
  for (const hash of named) if (!before.has(hash)) nameOnePage(draft, hash);
  const files = [...before].filter((hash) => !named.has(hash)).map((hash) => unnamePage(draft, hash));
  if (named.size > 0) draft.put(keys.names(id), Buffer.from([...named].join(''), 'latin1'));
  else if (before.size > 0) draft.remove(keys.names(id));
  return files.filter((file) => file !== undefined);
}

/** Hashes of the pages that a record names. */
export function* hashesIn(value: Buffer = Buffer.alloc(0)): Generator<string> {
  for (let at = 0; at < value.byteLength; at += HASH_BYTES) yield value.toString('latin1', at, at + HASH_BYTES);
}

function getListed(view: View, id: string): Listed | undefined {
  const value = id.length > LONGEST_ID ? undefined : view.get(keys.listed(id));
  return value && readListed(value);
}
