import { webcrypto } from 'node:crypto';
import { demand, integer, options, text, type Shape } from './checks.js';
import { PREFIX_BYTES, seal, sealedBytes, sha256, unseal } from './sealed.js';

/** Why a page is of no use: damaged, or another one than was asked for. */
export type PageProblem = 'corrupt' | 'foreign';

/** What a page's header says of the KV that follows it. */
export interface PageHeader {
  /** Of the header itself; the KV begins after it. */
  headerBytes: number;
  /** Of the KV. */
  kvBytes: number;
  kvHash: string;
}

interface Fields {
  key: string;
  kvBytes: number;
  kvHash: string;
}

const KIND = 'LSKVPAGE';
const FORMAT = 1;
/** Longest header that is believed. */
const MOST_HEADER_BYTES = 4096;
/** Bytes hashed at once: the copy that digest() makes of its input on this thread takes well below a millisecond. */
const HASH_CHUNK = 2 ** 20;
/** Chunks hashed at the same time, on as many threads of the pool; leaves some to file access. */
const HASH_LANES = 2;

const FIELDS: Shape<Fields> = {
  key: text(64, 64),
  kvBytes: integer(0, Number.MAX_SAFE_INTEGER),
  kvHash: text(64, 64),
};

/**
 * The header to be written before the KV, which is not copied.
 * @param kv must not change until the page is written
 */
export async function pageHeader(key: string, kv: Uint8Array): Promise<Uint8Array> {
  const fields: Fields = { key, kvBytes: kv.byteLength, kvHash: await hashLarge(kv) };
  return seal(KIND, FORMAT, [Buffer.from(JSON.stringify(fields))]);
}

/** The KV in a page from outside (R12), as a view into it. Never throws: what is no good is a cache miss. */
export async function decodePage(
  page: Uint8Array,
  key: string,
): Promise<{ kv: Uint8Array } | { problem: PageProblem }> {
  const header = decodePageHeader(page, page.byteLength, key);
  if ('problem' in header) return header;
  const end = header.headerBytes + header.kvBytes;
  if (end !== page.byteLength) return { problem: 'corrupt' };
  const kv = page.subarray(header.headerBytes, end);
  return (await isWhole(header, kv)) ? { kv } : { problem: 'corrupt' };
}

/**
 * What a page's beginning says, before the rest is read.
 * @param beginning at least the header, where there is as much
 * @param mostBytes that the whole page can have
 */
export function decodePageHeader(
  beginning: Uint8Array,
  mostBytes: number,
  key: string,
): PageHeader | { problem: PageProblem } {
  const headerBytes = sealedBytes(KIND, beginning.subarray(0, PREFIX_BYTES));
  if (headerBytes === undefined || headerBytes > Math.min(MOST_HEADER_BYTES, beginning.byteLength))
    return { problem: 'corrupt' };
  const body = unseal(KIND, FORMAT, beginning.subarray(0, headerBytes));
  if (body === 'newer') return { problem: 'foreign' };
  const fields = body === 'damaged' ? undefined : parse(body);
  if (fields === undefined || headerBytes + fields.kvBytes > mostBytes) return { problem: 'corrupt' };
  if (fields.key !== key) return { problem: 'foreign' };
  return { headerBytes, kvBytes: fields.kvBytes, kvHash: fields.kvHash };
}

/** Whether this is the KV that the header speaks of. */
export async function isWhole(header: PageHeader, kv: Uint8Array): Promise<boolean> {
  return kv.byteLength === header.kvBytes && (await hashLarge(kv)) === header.kvHash;
}

/** How much of a page's beginning holds its header for certain. */
export const PAGE_HEADER_BYTES: number = MOST_HEADER_BYTES;

function parse(body: Uint8Array): Fields | undefined {
  try {
    const fields = JSON.parse(Buffer.from(body).toString()) as Fields;
    options(FIELDS)('page', fields);
    demand('page', fields, Object.keys(FIELDS));
    return fields;
  } catch {
    return undefined;
  }
}

/** SHA-256 over the SHA-256s of the chunks, computed on the pool: one digest() of 100 MB would copy it on this thread first. */
async function hashLarge(bytes: Uint8Array): Promise<string> {
  const chunks = Math.ceil(bytes.byteLength / HASH_CHUNK);
  const digests = new Uint8Array(chunks * 32);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < chunks) {
      const i = next++;
      const digest = await webcrypto.subtle.digest('SHA-256', bytes.subarray(i * HASH_CHUNK, (i + 1) * HASH_CHUNK));
      digests.set(new Uint8Array(digest), i * 32);
    }
  };
  await Promise.all(Array.from({ length: HASH_LANES }, lane));
  return sha256(digests).toString('hex');
}
