import { webcrypto } from 'node:crypto';
import { integer, options, text, type Shape } from './checks.js';
import { PREFIX_BYTES, seal, sealedBytes, sha256, tokenBytes, unseal } from './sealed.js';

/** What KV belongs to. A page of anything else is a cache miss, however well it is formed. */
export interface PageIdentity {
  /** Of the model. */
  fingerprint: string;
  /** `kvFormat` of the engine. */
  kvFormat: string;
  /** When a page is made: the tokens it covers. When one is read: those of the session, of which it must cover a beginning. */
  tokens: Int32Array;
}

/** Why a page is of no use: damaged, or of another model, format or conversation. */
export type PageProblem = 'corrupt' | 'foreign';

/** The KV of the first `tokens` tokens. */
export interface PageContent {
  /** A view into what was decoded. */
  kv: Uint8Array;
  tokens: number;
}

/** The bytes that tell a page's problem, or what follows its header. */
export interface PageHeader {
  /** Of the header itself; the KV begins after it. */
  headerBytes: number;
  /** Of the KV. */
  kvBytes: number;
  tokens: number;
  kvHash: string;
}

interface Fields {
  fingerprint: string;
  kvFormat: string;
  tokens: number;
  tokensHash: string;
  kvBytes: number;
  kvHash: string;
}

const KIND = 'LSKVPAGE';
const FORMAT = 1;
/** Longest header that is believed: its texts are bounded by FIELDS. */
const MOST_HEADER_BYTES = 65_536;
/** Bytes hashed at once: the copy that digest() makes of its input on this thread takes well below a millisecond. */
const HASH_CHUNK = 2 ** 20;
/** Chunks hashed at the same time, on as many threads of the pool; leaves some to file access. */
const HASH_LANES = 2;

const FIELDS: Shape<Fields> = {
  fingerprint: text(0, 1024),
  kvFormat: text(0, 1024),
  tokens: integer(0, 2 ** 31 - 1),
  tokensHash: text(64, 64),
  kvBytes: integer(0, Number.MAX_SAFE_INTEGER),
  kvHash: text(64, 64),
};

/**
 * The header to be written before the KV, which is not copied.
 * @param kv must not change until the page is written
 */
export async function encodePage(identity: PageIdentity, kv: Uint8Array): Promise<Uint8Array> {
  const fields: Fields = {
    fingerprint: identity.fingerprint,
    kvFormat: identity.kvFormat,
    tokens: identity.tokens.length,
    tokensHash: hashTokens(identity.tokens),
    kvBytes: kv.byteLength,
    kvHash: await hashLarge(kv),
  };
  return seal(KIND, FORMAT, [Buffer.from(JSON.stringify(fields))]);
}

/** The KV in a page from outside (R12). Never throws: what is no good is a cache miss, and its problem is counted. */
export async function decodePage(
  page: Uint8Array,
  expected: PageIdentity,
): Promise<PageContent | { problem: PageProblem }> {
  const header = decodePageHeader(page, page.byteLength, expected);
  if ('problem' in header) return header;
  return checkPage(header, page.subarray(header.headerBytes));
}

/**
 * What a page's beginning says, before the rest is read.
 * @param beginning at least the header, where the page has as much
 * @param pageBytes of the whole page
 */
export function decodePageHeader(
  beginning: Uint8Array,
  pageBytes: number,
  expected: PageIdentity,
): PageHeader | { problem: PageProblem } {
  const headerBytes = sealedBytes(KIND, beginning.subarray(0, PREFIX_BYTES));
  if (headerBytes === undefined || headerBytes > Math.min(MOST_HEADER_BYTES, beginning.byteLength))
    return { problem: 'corrupt' };
  const body = unseal(KIND, FORMAT, beginning.subarray(0, headerBytes));
  if (body === 'newer') return { problem: 'foreign' };
  const fields = body === 'damaged' ? undefined : parse(body);
  if (fields === undefined) return { problem: 'corrupt' };
  if (!isOurs(fields, expected)) return { problem: 'foreign' };
  if (headerBytes + fields.kvBytes !== pageBytes) return { problem: 'corrupt' };
  return { headerBytes, kvBytes: fields.kvBytes, tokens: fields.tokens, kvHash: fields.kvHash };
}

/** Whether this is the KV that the header speaks of. */
export async function checkPage(header: PageHeader, kv: Uint8Array): Promise<PageContent | { problem: PageProblem }> {
  if (kv.byteLength !== header.kvBytes || (await hashLarge(kv)) !== header.kvHash) return { problem: 'corrupt' };
  return { kv, tokens: header.tokens };
}

/** How much of a page's beginning holds its header for certain. */
export const PAGE_HEADER_BYTES: number = MOST_HEADER_BYTES;

function parse(body: Uint8Array): Fields | undefined {
  try {
    const fields = JSON.parse(Buffer.from(body).toString()) as Fields;
    options(FIELDS)('page', fields);
    return Object.keys(FIELDS).every((name) => Object.hasOwn(fields, name)) ? fields : undefined;
  } catch {
    return undefined;
  }
}

function isOurs(fields: Fields, expected: PageIdentity): boolean {
  if (fields.fingerprint !== expected.fingerprint || fields.kvFormat !== expected.kvFormat) return false;
  // A page may be older than the record: it then covers fewer tokens, but these must be the same.
  return (
    fields.tokens <= expected.tokens.length &&
    fields.tokensHash === hashTokens(expected.tokens.subarray(0, fields.tokens))
  );
}

function hashTokens(tokens: Int32Array): string {
  return sha256(tokenBytes(tokens)).toString('hex');
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
