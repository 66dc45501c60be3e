import { constants } from 'node:buffer';
import { stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LlamaError } from './errors.js';
import {
  checkPage,
  decodePageHeader,
  encodePage,
  PAGE_HEADER_BYTES,
  type PageContent,
  type PageProblem,
} from './page.js';
import { decodeRecord, encodeRecord, RECORD_KIND, type SessionRecord } from './record.js';
import { PREFIX_BYTES, sealedBytes } from './sealed.js';
import { codeOf, storeFailure } from './stores/failure.js';
import { moveTo, openToRead, readAt, remove, syncFolder, writeTemporary } from './stores/files.js';

/** KV that goes with an export. */
export interface ExportedKv {
  /** `kvFormat` of the engine that it came from. */
  kvFormat: string;
  /** How many of the record's tokens it covers. */
  tokens: number;
  /** Must not change until the file is written. */
  bytes: Uint8Array;
}

/** What an export file holds. */
export interface Imported {
  /** Without `kv`: that was a place in the store it came from. */
  record: SessionRecord;
  kv?: PageContent;
  /** Why there is no `kv` though the file has, or had, some: the session then costs prefill, nothing else. */
  kvProblem?: PageProblem;
}

/**
 * Writes one portable file: the record, then its KV as a page. Whole or not at all, durable on return, readable by this user
 * only; it replaces what is there. Nothing is copied of the KV.
 * @throws LlamaError STORE_FAILED
 */
export async function writeExport(path: string, record: SessionRecord, kv?: ExportedKv): Promise<{ bytes: number }> {
  const { kv: _place, ...portable } = record;
  const parts: Uint8Array[] = [];
  if (kv === undefined) {
    parts.push(encodeRecord(portable));
  } else {
    const tokens = record.tokens.subarray(0, kv.tokens);
    const header = await encodePage({ fingerprint: record.fingerprint, kvFormat: kv.kvFormat, tokens }, kv.bytes);
    // Its presence says that a page must follow: a file that was cut off right after the record shows.
    const place = { key: '', tokens: kv.tokens, bytes: header.byteLength + kv.bytes.byteLength };
    parts.push(encodeRecord({ ...portable, kv: place }), header, kv.bytes);
  }
  const target = resolve(path);
  try {
    const temporary = await writeTemporary(dirname(target), parts, true);
    try {
      await moveTo(temporary, target);
    } catch (error) {
      await remove(temporary).catch(() => false);
      throw error;
    }
    await syncFolder(dirname(target));
  } catch (error) {
    throw storeFailure('write the export file', target, error);
  }
  return { bytes: parts.reduce((sum, part) => sum + part.byteLength, 0) };
}

/**
 * Reads what `writeExport()` wrote, which may have come from anywhere (R12). KV of another model is not even read.
 * @param engine whose KV is wanted
 * @throws LlamaError SESSION_NOT_FOUND when there is no such file, SNAPSHOT_CORRUPT or SNAPSHOT_MISMATCH for its record,
 * STORE_FAILED when it can't be read
 */
export async function readExport(path: string, engine: { fingerprint: string; kvFormat: string }): Promise<Imported> {
  const target = resolve(path);
  try {
    // Before it is opened: opening a pipe would wait for its writer.
    if (!(await stat(target)).isFile())
      throw new LlamaError('STORE_FAILED', `${target} is no file; give the path of an export file.`);
    const file = await openToRead(target);
    if (file === undefined) throw notFound(target);
    try {
      return await readParts(file, engine);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw codeOf(error) === 'ENOENT' ? notFound(target, error) : storeFailure('read the export file', target, error);
  }
}

async function readParts(file: FileHandle, engine: { fingerprint: string; kvFormat: string }): Promise<Imported> {
  const { size } = await file.stat();
  const recordBytes = sealedBytes(RECORD_KIND, await readAt(file, 0, Math.min(size, PREFIX_BYTES))) ?? 0;
  // Bounded by the file before it is allocated; decodeRecord() refuses what is too short.
  const { kv: page, ...record } = decodeRecord(await readAt(file, 0, Math.min(size, recordBytes)));
  const pageBytes = size - recordBytes;
  if (page === undefined) return pageBytes === 0 ? { record } : { record, kvProblem: 'corrupt' };
  if (pageBytes !== page.bytes) return { record, kvProblem: 'corrupt' };
  const beginning = await readAt(file, recordBytes, Math.min(pageBytes, PAGE_HEADER_BYTES));
  const header = decodePageHeader(beginning, pageBytes, { ...engine, tokens: record.tokens });
  if ('problem' in header) return { record, kvProblem: header.problem };
  // More than this machine's Node can hold in one array came from one that can.
  if (header.kvBytes > constants.MAX_LENGTH) return { record, kvProblem: 'foreign' };
  const content = await checkPage(header, await readAt(file, recordBytes + header.headerBytes, header.kvBytes));
  return 'problem' in content ? { record, kvProblem: content.problem } : { record, kv: content };
}

function notFound(path: string, cause?: unknown): LlamaError {
  return new LlamaError('SESSION_NOT_FOUND', `There is no export file at ${path}; check the path.`, { cause });
}
