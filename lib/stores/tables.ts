/**
 * The tables of the index. A key begins with the letter of its table:
 *
 *     g                    how many commits there were
 *     s                    sums over all pages
 *     l<id>                version, expiry and info of a record: what a listing reads
 *     r<id>                its bytes
 *     n<id>                hashes of the pages that it names
 *     e<expiry><id>        nothing: records in the order of their expiry
 *     p<hash>              a page: how many records name it; its file when it is stored
 *     u<used at><hash>     nothing: stored pages in the order of their last use
 *     c<id>                who has claimed a session
 *     o<owner>             who that is
 */
import { createHash } from 'node:crypto';
import type { Key, View } from './view.js';

/** Longest id, in UTF-16 units: two keys of that length still fit into a page of the index. */
export const LONGEST_ID = 950;

export const NOTHING: Buffer = Buffer.of(0);

/** An id as UTF-16, big-endian: sorts as JavaScript does, and keeps unpaired surrogates apart. */
export function wide(id: string): string {
  return Buffer.from(id, 'utf16le').swap16().toString('latin1');
}

/** The reverse of `wide()`. */
export function narrow(wide: string): string {
  return Buffer.from(wide, 'latin1').swap16().toString('utf16le');
}

/** A number as 8 bytes that sort as the number does. */
function sortable(number: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(number);
  // Positive ones after negative ones, and those with the most negative first.
  const flip = bytes.readUInt8() < 0x80 ? 0x80 : 0xff;
  for (let i = 0; i < 8; i++) bytes[i] = (bytes[i] ?? 0) ^ (i === 0 || flip === 0xff ? flip : 0);
  return bytes.toString('latin1');
}

/** Over UTF-16: in UTF-8 all unpaired surrogates are one. */
export function pageHash(key: string): string {
  return createHash('sha256').update(key, 'utf16le').digest().toString('latin1');
}

export const keys = {
  generation: (): Key => 'g',
  totals: (): Key => 's',
  listed: (id: string): Key => `l${wide(id)}`,
  bytes: (id: string): Key => `r${wide(id)}`,
  names: (id: string): Key => `n${wide(id)}`,
  expiry: (expiresAt: number, id: string): Key => `e${sortable(expiresAt)}${wide(id)}`,
  page: (hash: string): Key => `p${hash}`,
  use: (usedAt: number, hash: string): Key => `u${sortable(usedAt)}${hash}`,
  claim: (id: string): Key => `c${wide(id)}`,
  owner: (owner: string): Key => `o${owner}`,
};

/** The part of a key after the letter. */
export const rest = {
  listed: (key: Key): string => narrow(key.slice(1)),
  expiry: (key: Key): string => narrow(key.slice(9)),
  page: (key: Key): string => key.slice(1),
  use: (key: Key): string => key.slice(9),
  owner: (key: Key): string => key.slice(1),
};

/** From the first key of a table on, and below the first of the next one. */
export const tables = {
  listed: ['l', 'm'],
  names: ['n', 'o'],
  claims: ['c', 'd'],
  owners: ['o', 'p'],
  pages: ['p', 'q'],
  uses: ['u', 'v'],
} as const;

/** Keys of the records that have expired. */
export function expiredBy(now: number): [from: Key, below: Key] {
  return ['e', afterAll(`e${sortable(now)}`)];
}

/** The first key after all that begin with this one. */
export function afterAll(prefix: Key): Key {
  const end = prefix.replace(/\u00ff+$/, '');
  return end.slice(0, -1) + String.fromCharCode(end.charCodeAt(end.length - 1) + 1);
}

/** What a listing tells of a record. */
export interface Listed {
  version: number;
  expiresAt: number | undefined;
  info: Buffer;
}

export function readListed(value: Buffer): Listed {
  const expiresAt = value.readDoubleBE(8);
  return {
    version: value.readDoubleBE(0),
    expiresAt: Number.isNaN(expiresAt) ? undefined : expiresAt,
    info: value.subarray(16),
  };
}

export function writeListed({ version, expiresAt, info }: Omit<Listed, 'info'> & { info: Uint8Array }): Buffer {
  const head = Buffer.alloc(16);
  head.writeDoubleBE(version, 0);
  head.writeDoubleBE(expiresAt ?? NaN, 8);
  return Buffer.concat([head, info]);
}

/** A page that is stored. */
export interface StoredPage {
  /** Unique: a page that is stored again gets another one, so that nobody ever removes a file that is not meant. */
  file: string;
  bytes: number;
  usedAt: number;
}

/** A page that records name. */
export interface Page {
  /** Records that name it. */
  users: number;
  stored: StoredPage | undefined;
}

export function readPage(value: Buffer | undefined): Page {
  if (value === undefined) return { users: 0, stored: undefined };
  const users = value.readUInt32BE(0);
  if (value.byteLength === 4) return { users, stored: undefined };
  const stored = { bytes: value.readDoubleBE(4), usedAt: value.readDoubleBE(12), file: value.toString('latin1', 20) };
  return { users, stored };
}

export function writePage({ users, stored }: Page): Buffer {
  const file = Buffer.from(stored?.file ?? '', 'latin1');
  const head = Buffer.alloc(stored === undefined ? 4 : 20);
  head.writeUInt32BE(users, 0);
  if (stored === undefined) return head;
  head.writeDoubleBE(stored.bytes, 4);
  head.writeDoubleBE(stored.usedAt, 12);
  return Buffer.concat([head, file]);
}

/** Sums over the whole store, kept with every change. */
export interface Totals {
  storedPages: number;
  storedPageBytes: number;
  pageEvictions: number;
  sweptFiles: number;
  /** When a page was used last. Never goes back, whatever the clock does. */
  usedAt: number;
  /** The highest version of a record that was deleted. */
  deletedVersion: number;
}

const TOTALS = ['storedPages', 'storedPageBytes', 'pageEvictions', 'sweptFiles', 'usedAt', 'deletedVersion'] as const;

export function readTotals(view: View): Totals {
  const value = view.get(keys.totals());
  const at = (name: (typeof TOTALS)[number]): number => value?.readDoubleBE(8 * TOTALS.indexOf(name)) ?? 0;
  return {
    storedPages: at('storedPages'),
    storedPageBytes: at('storedPageBytes'),
    pageEvictions: at('pageEvictions'),
    sweptFiles: at('sweptFiles'),
    usedAt: at('usedAt'),
    deletedVersion: at('deletedVersion'),
  };
}

export function writeTotals(totals: Totals): Buffer {
  const value = Buffer.alloc(8 * TOTALS.length);
  for (const [i, name] of TOTALS.entries()) value.writeDoubleBE(totals[name], 8 * i);
  return value;
}
