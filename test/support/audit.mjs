/** Compares the index of a DirectoryStore with itself and with the disk. Plain JavaScript, as the bench does it too, with dist/. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';

/**
 * The parts of lib/stores/ that it reads the index with.
 * @typedef {Pick<typeof import('../../lib/stores/ledger.js'), 'Ledger'> & Pick<typeof import('../../lib/stores/records.js'), 'hashesIn'>
 *   & Pick<typeof import('../../lib/stores/tables.js'), 'keys' | 'readListed' | 'readPage' | 'readTotals' | 'rest' | 'tables'>} Parts
 * @typedef {import('../../lib/stores/view.js').View} View
 */

/**
 * What must be true of a directory at every moment, and of its files after a sweep by the only process that uses it.
 * @param {Parts} parts @param {string} root @returns {Promise<void>}
 */
export async function auditWith(parts, root) {
  const ledger = parts.Ledger.join(root);
  try {
    const stored = await ledger.read((view) => {
      checkExpiries(parts, view);
      return checkPages(parts, view);
    });
    assert.deepEqual(await filesIn(join(root, 'pages')), stored.sort(), 'files of pages, and what the index knows');
    assert.deepEqual(await filesIn(join(root, 'tmp')), [], 'nothing unfinished');
  } finally {
    await ledger.leave();
  }
}

/** @param {Parts} parts @param {View} view */
function checkExpiries({ keys, readListed, rest, tables }, view) {
  const listed = view.range(...tables.listed, Infinity);
  const expiries = listed.flatMap(([key, value]) => {
    const { expiresAt } = readListed(value);
    return expiresAt === undefined ? [] : [keys.expiry(expiresAt, rest.listed(key))];
  });
  const keysOf = (/** @type {[string, Buffer][]} */ entries) => entries.map(([key]) => key);
  assert.deepEqual(keysOf(view.range('e', 'f', Infinity)), expiries.sort(), 'the order of expiry');
  const ids = (/** @type {[string, Buffer][]} */ entries) => entries.map(([key]) => key.slice(1));
  assert.deepEqual(ids(view.range('r', 's', Infinity)), ids(listed), 'records, and what a listing tells of them');
}

/** @param {Parts} parts @param {View} view @returns {string[]} the files that there should be */
function checkPages({ hashesIn, keys, readPage, readTotals, rest, tables }, view) {
  const users = new Map();
  for (const [, value] of view.range(...tables.names, Infinity)) {
    for (const hash of hashesIn(value)) users.set(hash, (users.get(hash) ?? 0) + 1);
  }
  const pages = view.range(...tables.pages, Infinity).map(([key, value]) => {
    const page = readPage(value);
    return { hash: rest.page(key), users: page.users, stored: page.stored };
  });
  assert.deepEqual(new Map(pages.map((page) => [page.hash, page.users])), users, 'how many records name a page');
  const stored = pages.flatMap((page) => (page.stored === undefined ? [] : [{ hash: page.hash, ...page.stored }]));
  const uses = stored.map(({ hash, usedAt }) => keys.use(usedAt, hash));
  const noted = view.range(...tables.uses, Infinity).map(([key]) => key);
  assert.deepEqual(noted, uses.sort(), 'the order of use');
  const { storedPages, storedPageBytes } = readTotals(view);
  const bytes = stored.reduce((sum, page) => sum + page.bytes, 0);
  assert.deepEqual({ storedPages, storedPageBytes }, { storedPages: stored.length, storedPageBytes: bytes });
  return stored.map(({ file }) => file);
}

/** @param {string} folder @returns {Promise<string[]>} names, in order */
export async function filesIn(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => basename(entry.name))
    .sort();
}
