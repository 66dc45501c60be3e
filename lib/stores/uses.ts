import type { Ledger } from './ledger.js';
import { isStale, notePages } from './pages.js';
import type { StoredPage } from './tables.js';

/** A use noted late makes the order of eviction a little older, and nothing else. */
const DELAY_MS = 10_000;

/** Which pages were read, on its way to the index: in batches, and no read waits for it. */
export class Uses {
  readonly #ledger: Ledger;
  /** In the order of their last use. */
  readonly #hashes = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  note(hash: string, page: StoredPage): void {
    if (!isStale(page)) return;
    this.#hashes.delete(hash);
    this.#hashes.add(hash);
    this.#timer ??= setTimeout(() => {
      // It is a hint: what can't be written is forgotten.
      this.write().catch(() => undefined);
    }, DELAY_MS).unref();
  }

  /** Writes what was noted. */
  async write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#hashes.size === 0) return;
    const hashes = [...this.#hashes];
    this.#hashes.clear();
    await this.#ledger.change((draft) => {
      notePages(draft, hashes);
    });
  }
}
