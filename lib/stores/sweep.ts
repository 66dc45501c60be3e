import { stat } from '../disk.js';
import { buryOwners } from './owners.js';
import { remove } from './files.js';
import type { Ledger } from './ledger.js';
import type { PageFiles } from './pagefiles.js';
import { count, dropPage, getPage } from './pages.js';
import { ended } from './process.js';
import { readPage, rest, tables } from './tables.js';

/** Index entries looked at in one go. */
const ENTRIES = 1000;
/** A file of this age, whose writer nobody here can look at, belongs to no living one. */
const STALE_MS = 3_600_000;

/** Removes what processes that ended in the middle left behind: files that nobody knows, pages without a file, claims. */
export async function sweep(ledger: Ledger, files: PageFiles): Promise<void> {
  const swept = (await sweepUnfinished(files)) + (await sweepFiles(ledger, files));
  await dropLost(ledger, files);
  if (swept > 0) {
    await ledger.change((draft) => {
      count(draft, (totals) => (totals.sweptFiles += swept));
    });
  }
  const owners = await ledger.read((view) => view.range(...tables.owners, 1));
  if (owners.length > 0) await ledger.change(buryOwners);
}

async function sweepUnfinished(files: PageFiles): Promise<number> {
  let swept = 0;
  for (const { path, writer } of await files.unfinished()) {
    const over = ended(writer) ?? (await isStale(path));
    if (over && (await remove(path).catch(() => false))) swept++;
  }
  return swept;
}

/** Files that the index doesn't know. It named them before they came, so that it has forgotten them since. */
async function sweepFiles(ledger: Ledger, files: PageFiles): Promise<number> {
  let swept = 0;
  for await (const found of files.stored()) {
    if (ledger.isAbandoned) break;
    const orphans = await ledger.read((view) =>
      found.filter((file) => getPage(view, hashOf(file)).stored?.file !== file),
    );
    swept += await files.remove(orphans);
  }
  return swept;
}

/** Pages that the index names, but whose file a crash took, or its end, or somebody's hand. */
async function dropLost(ledger: Ledger, files: PageFiles): Promise<void> {
  let from: string = tables.pages[0];
  for (;;) {
    const entries = await ledger.read((view) => view.range(from, tables.pages[1], ENTRIES));
    for (const [key, value] of entries) {
      const { stored } = readPage(value);
      if (stored === undefined || (await files.has(stored))) continue;
      const dropped = await ledger.change((draft) => dropPage(draft, rest.page(key), stored.file));
      if (dropped !== undefined) await files.remove([dropped]); // what is left of it
    }
    const last = entries.at(-1);
    if (last === undefined || entries.length < ENTRIES || ledger.isAbandoned) return;
    from = `${last[0]}\0`;
  }
}

function hashOf(file: string): string {
  return Buffer.from(file.slice(0, 64), 'hex').toString('latin1');
}

async function isStale(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && found.mtimeMs < Date.now() - STALE_MS;
}
