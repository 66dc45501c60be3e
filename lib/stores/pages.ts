/** What the index knows of pages. A page is stored only while records name it. */
import { keys, NOTHING, readPage, readTotals, tables, writePage, writeTotals, rest } from './tables.js';
import type { Page, StoredPage, Totals } from './tables.js';
import type { Draft, View } from './view.js';

/** Uses closer together than that are one: a use costs a write. */
const COARSE_MS = 60_000;
/** Pages that one change evicts at most: some milliseconds of drafting. */
const EVICTED = 100;
/** Uses that are read in one go: a page that comes mostly drives out one. */
const OLDEST = 8;

export function getPage(view: View, hash: string): Page {
  return readPage(view.get(keys.page(hash)));
}

/** One record more names it. */
export function nameOnePage(draft: Draft, hash: string): void {
  const page = getPage(draft, hash);
  draft.put(keys.page(hash), writePage({ ...page, users: page.users + 1 }));
}

/** One record less names it. @returns its file, when it was the last one */
export function unnamePage(draft: Draft, hash: string): string | undefined {
  const { users, stored } = getPage(draft, hash);
  const file = users > 1 ? undefined : dropPage(draft, hash);
  if (users > 1) draft.put(keys.page(hash), writePage({ users: users - 1, stored }));
  else draft.remove(keys.page(hash));
  return file;
}

/** What a change made of the pages. */
export interface Evicted {
  /** That are not needed any more. */
  files: string[];
  /** Whether more has to go to keep to the budget: `evict()` it. */
  more: boolean;
}

/**
 * Takes a page in whose file is written already, and lets the least recently used ones go.
 * @param budget bytes of all pages together
 * @returns whether this very file is the page now, and whether any is
 */
export function addPage(
  draft: Draft,
  hash: string,
  page: Omit<StoredPage, 'usedAt'>,
  budget: number,
): Evicted & { added: boolean; stored: boolean } {
  const { users, stored } = getPage(draft, hash);
  if (users === 0 || stored !== undefined || page.bytes > budget) {
    return { added: false, stored: stored !== undefined, files: [], more: false };
  }
  const usedAt = tick(draft);
  draft.put(keys.page(hash), writePage({ users, stored: { ...page, usedAt } }));
  draft.put(keys.use(usedAt, hash), NOTHING);
  count(draft, (totals) => {
    totals.storedPages++;
    totals.storedPageBytes += page.bytes;
  });
  return { added: true, stored: true, ...evict(draft, budget) };
}

/** Lets the least recently used pages go, until the others keep to the budget or so many are gone as one change may take. */
export function evict(draft: Draft, budget: number): Evicted {
  const files: string[] = [];
  const isOver = (): boolean => readTotals(draft).storedPageBytes > budget;
  let from: string = tables.uses[0];
  while (isOver() && files.length < EVICTED) {
    const oldest = draft.range(from, tables.uses[1], OLDEST);
    for (const [key] of oldest) {
      if (!isOver()) break;
      const file = dropPage(draft, rest.use(key));
      if (file === undefined) continue;
      files.push(file);
      count(draft, (totals) => totals.pageEvictions++);
    }
    const last = oldest.at(-1);
    if (last === undefined) return { files, more: false };
    // Not from the beginning again: what was removed there is passed over one by one.
    from = `${last[0]}\0`;
  }
  return { files, more: isOver() };
}

/** Its content is gone; records go on naming it. @param file only if this is its file still @returns its file */
export function dropPage(draft: Draft, hash: string, file?: string): string | undefined {
  const { users, stored } = getPage(draft, hash);
  if (stored === undefined || (file !== undefined && file !== stored.file)) return undefined;
  draft.put(keys.page(hash), writePage({ users, stored: undefined }));
  draft.remove(keys.use(stored.usedAt, hash));
  count(draft, (totals) => {
    totals.storedPages--;
    totals.storedPageBytes -= stored.bytes;
  });
  return stored.file;
}

/** Whether a use now is worth a note. */
export function isStale({ usedAt }: StoredPage): boolean {
  // The clock may have been set back.
  return Math.abs(Date.now() - usedAt) > COARSE_MS;
}

/** Notes that they were used, in this order. */
export function notePages(draft: Draft, hashes: Iterable<string>): void {
  for (const hash of hashes) {
    const { users, stored } = getPage(draft, hash);
    if (stored === undefined || !isStale(stored)) continue;
    const usedAt = tick(draft);
    draft.remove(keys.use(stored.usedAt, hash));
    draft.put(keys.use(usedAt, hash), NOTHING);
    draft.put(keys.page(hash), writePage({ users, stored: { ...stored, usedAt } }));
  }
}

/** Changes what is known of the store as a whole. */
export function count(draft: Draft, change: (totals: Totals) => void): void {
  const totals = readTotals(draft);
  change(totals);
  draft.put(keys.totals(), writeTotals(totals));
}

/** Now; later than every use before, although the clock may have been set back. */
function tick(draft: Draft): number {
  const usedAt = Math.max(Date.now(), readTotals(draft).usedAt + 1);
  count(draft, (totals) => (totals.usedAt = usedAt));
  return usedAt;
}
