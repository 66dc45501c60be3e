/** Compares the index of a DirectoryStore with itself and with the disk. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect } from 'vitest';
import { Ledger } from '../../lib/stores/ledger.js';
import { hashesIn } from '../../lib/stores/records.js';
import { keys, readListed, readPage, readTotals, rest, tables } from '../../lib/stores/tables.js';
import type { View } from '../../lib/stores/view.js';

/** What must be true of a directory at every moment, and of its files after a sweep by the only process that uses it. */
export async function audit(root: string): Promise<void> {
  const ledger = Ledger.join(root);
  try {
    const stored = await ledger.read((view) => {
      expectExpiries(view);
      return expectPages(view);
    });
    expect(await filesIn(join(root, 'pages'))).toEqual(stored.sort());
    expect(await filesIn(join(root, 'tmp'))).toEqual([]);
  } finally {
    await ledger.leave();
  }
}

function expectExpiries(view: View): void {
  const records = view
    .range(...tables.listed, Infinity)
    .map(([key, value]) => [rest.listed(key), readListed(value)] as const);
  const expiries = records.flatMap(([id, { expiresAt }]) =>
    expiresAt === undefined ? [] : [keys.expiry(expiresAt, id)],
  );
  expect(view.range('e', 'f', Infinity).map(([key]) => key)).toEqual(expiries.sort());
  expect(view.range('r', 's', Infinity).map(([key]) => key.slice(1))).toEqual(
    view.range(...tables.listed, Infinity).map(([key]) => key.slice(1)),
  );
}

/** @returns the files that there should be */
function expectPages(view: View): string[] {
  const users = new Map<string, number>();
  for (const [, value] of view.range(...tables.names, Infinity)) {
    for (const hash of hashesIn(value)) users.set(hash, (users.get(hash) ?? 0) + 1);
  }
  const pages = view.range(...tables.pages, Infinity).map(([key, value]) => [rest.page(key), readPage(value)] as const);
  expect(new Map(pages.map(([hash, page]) => [hash, page.users]))).toEqual(users);
  const stored = pages.flatMap(([hash, page]) => (page.stored === undefined ? [] : [{ hash, ...page.stored }]));
  const uses = stored.map(({ hash, usedAt }) => keys.use(usedAt, hash));
  expect(view.range(...tables.uses, Infinity).map(([key]) => key)).toEqual(uses.sort());
  expect(readTotals(view)).toMatchObject({
    storedPages: stored.length,
    storedPageBytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
  });
  return stored.map(({ file }) => file);
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => basename(entry.name))
    .sort();
}
