import { open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { LlamaError } from '../errors.js';
import { codeOf } from './failure.js';
import { readAt } from './files.js';

/** Where LMDB's data format 2 keeps things in the first bytes of a meta page, on 64 bits. */
const AT = { flags: 18, magic: 24, version: 28, pageSize: 48, freeRoot: 88, mainRoot: 136 } as const;
const HEADER_BYTES = 168;
const META_PAGE = 0x08;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;

/** Another process may be making the file just now; it takes one write. */
const TRIES = 10;
const PAUSE_MS = 20;

/**
 * Looks at a data file before LMDB does: LMDB maps it into memory and ends the process when it is something else.
 * @throws LlamaError STORE_FAILED
 */
export async function checkHeader(path: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    const wrong = await flaw(path);
    if (wrong === undefined) return;
    if (tries === TRIES) {
      throw new LlamaError(
        'STORE_FAILED',
        `The file ${path} ${wrong}; restore the directory from a copy, or move it away to begin a new one.`,
      );
    }
    await pause(PAUSE_MS);
  }
}

/** What is wrong with the file. A missing or empty one is right: LMDB makes it. */
async function flaw(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    if (size === 0) return undefined;
    const first = Buffer.from(await readAt(file, 0, HEADER_BYTES));
    if (!isMeta(first)) return 'is no index of this version';
    const pageSize = first.readUInt32LE(AT.pageSize);
    const second = Buffer.from(await readAt(file, pageSize, HEADER_BYTES));
    if (!isMeta(second)) return 'is damaged';
    const roots = [first, second].flatMap((meta) => [AT.freeRoot, AT.mainRoot].map((at) => meta.readBigUInt64LE(at)));
    const pages = BigInt(Math.floor(size / pageSize));
    return roots.some((root) => root !== NO_ROOT && root >= pages) ? 'is cut off' : undefined;
  } finally {
    await file.close();
  }
}

function isMeta(header: Buffer): boolean {
  if (header.byteLength < HEADER_BYTES) return false;
  const pageSize = header.readUInt32LE(AT.pageSize);
  return (
    (header.readUInt16LE(AT.flags) & META_PAGE) !== 0 &&
    header.readUInt32LE(AT.magic) === MAGIC &&
    (header.readUInt32LE(AT.version) & 0xffff) === VERSION &&
    pageSize >= 512 &&
    pageSize <= 65_536 &&
    (pageSize & (pageSize - 1)) === 0
  );
}
