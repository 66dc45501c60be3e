import { constants } from 'node:buffer';
import { dirname, resolve } from 'node:path';
import { stat, type OpenFile } from './disk.js';
import { LlamaError } from './errors.js';
import { decodePageHeader, isWhole, PAGE_HEADER_BYTES, pageHeader, type PageProblem } from './page.js';
import type { Page } from './pages.js';
import { decodeRecord, encodeRecord, RECORD_KIND, type SessionRecord } from './record.js';
import { PREFIX_BYTES, sealedBytes } from './sealed.js';
import { codeOf, storeFailure } from './stores/failure.js';
import { moveTo, openToRead, readAt, remove, syncFolder, writeTemporary } from './stores/files.js';

/**
 * Writes one portable file: the record, then the pages of its KV as far as they can be read, one at a time. Whole or not at all,
 * durable on return, readable by this user only; it replaces what is there.
 * @param read the KV of a page; undefined: it is nowhere
 * @throws LlamaError STORE_FAILED
 */
export async function writeExport(
  path: string,
  record: SessionRecord,
  pages: readonly Page[],
  read: (page: Page) => Promise<Uint8Array | undefined>,
): Promise<{ bytes: number }> {
  const target = resolve(path);
  try {
    const temporary = await writeBeside(target, record, pages, read);
    try {
      const { size } = await stat(temporary);
      await moveTo(temporary, target);
      await syncFolder(dirname(target));
      return { bytes: size };
    } catch (error) {
      await remove(temporary).catch(() => false);
      throw error;
    }
  } catch (error) {
    throw storeFailure('write the export file', target, error);
  }
}

/** Ends the writing of a file whose record promises a page that can't be had. */
class PageGone extends Error {
  readonly index: number;

  constructor(index: number) {
    super('A page of the session is gone.');
    this.index = index;
  }
}

/** @returns the path of a new file in the same folder */
async function writeBeside(
  target: string,
  record: SessionRecord,
  pages: readonly Page[],
  read: (page: Page) => Promise<Uint8Array | undefined>,
): Promise<string> {
  try {
    return await writeTemporary(dirname(target), contents(record, pages, read), true);
  } catch (error) {
    if (!(error instanceof PageGone)) throw error;
    return writeBeside(target, record, pages.slice(0, error.index), read);
  }
}

async function* contents(
  record: SessionRecord,
  pages: readonly Page[],
  read: (page: Page) => Promise<Uint8Array | undefined>,
): AsyncGenerator<Uint8Array, void> {
  // What the record says of KV is what must follow it: a file that was cut off right behind the record shows.
  yield encodeRecord({ ...record, kvTokens: pages.at(-1)?.to ?? 0 });
  for (const [index, page] of pages.entries()) {
    const kv = await read(page);
    if (kv === undefined) throw new PageGone(index);
    yield await pageHeader(page.key, kv);
    yield kv;
  }
}

/** An export file that is being read. */
export interface OpenExport {
  record: SessionRecord;
  /**
   * The KV of these pages, in order, one at a time. Ends early where the file does not have them: then it says why, and the
   * session costs prefill, nothing else.
   */
  pages(wanted: readonly Page[]): AsyncGenerator<{ page: Page; kv: Uint8Array }, PageProblem | undefined>;
  close(): Promise<void>;
}

/**
 * Opens what `writeExport()` wrote, which may have come from anywhere (R12).
 * @throws LlamaError SESSION_NOT_FOUND when there is no such file, SNAPSHOT_CORRUPT or SNAPSHOT_MISMATCH for its record,
 * STORE_FAILED when it can't be read
 */
export async function openExport(path: string): Promise<OpenExport> {
  const target = resolve(path);
  try {
    // Before it is opened: opening a pipe would wait for its writer.
    if (!(await stat(target)).isFile())
      throw new LlamaError('STORE_FAILED', `${target} is no file; give the path of an export file.`);
    const file = await openToRead(target);
    if (file === undefined) throw notFound(target);
    try {
      return await readRecord(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (error) {
    throw codeOf(error) === 'ENOENT' ? notFound(target, error) : storeFailure('read the export file', target, error);
  }
}

async function readRecord(file: OpenFile): Promise<OpenExport> {
  const { size } = await file.stat();
  const recordBytes = sealedBytes(RECORD_KIND, await readAt(file, 0, Math.min(size, PREFIX_BYTES))) ?? 0;
  // Bounded by the file before it is allocated; decodeRecord() refuses what is too short.
  const record = decodeRecord(await readAt(file, 0, Math.min(size, recordBytes)));
  return {
    record,
    pages: (wanted) => readPages(file, recordBytes, size, wanted),
    close: () => file.close(),
  };
}

async function* readPages(
  file: OpenFile,
  start: number,
  size: number,
  wanted: readonly Page[],
): AsyncGenerator<{ page: Page; kv: Uint8Array }, PageProblem | undefined> {
  let at = start;
  for (const page of wanted) {
    const found = await readPage(file, at, size - at, page);
    if ('problem' in found) return found.problem;
    yield { page, kv: found.kv };
    at += found.bytes;
  }
  return at === size ? undefined : 'corrupt';
}

/** @param left bytes of the file from there on @returns its KV, and how many bytes it took */
async function readPage(
  file: OpenFile,
  at: number,
  left: number,
  { key }: Page,
): Promise<{ kv: Uint8Array; bytes: number } | { problem: PageProblem }> {
  try {
    const header = decodePageHeader(await readAt(file, at, Math.min(left, PAGE_HEADER_BYTES)), left, key);
    if ('problem' in header) return header;
    // More than this machine's Node can hold in one array came from one that can.
    if (header.kvBytes > constants.MAX_LENGTH) return { problem: 'foreign' };
    const kv = await readAt(file, at + header.headerBytes, header.kvBytes);
    if (!(await isWhole(header, kv))) return { problem: 'corrupt' };
    return { kv, bytes: header.headerBytes + header.kvBytes };
  } catch {
    return { problem: 'corrupt' }; // the disk can't read it, which costs no more than if it were damaged
  }
}

function notFound(path: string, cause?: unknown): LlamaError {
  return new LlamaError('SESSION_NOT_FOUND', `There is no export file at ${path}; check the path.`, { cause });
}
