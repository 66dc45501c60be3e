import type { Page, PageNames } from './pages.js';
import type { SessionKv } from './sessionkv.js';
import type { PageTiers } from './tiers.js';

/** Which sessions name a page: what nobody names any more need not be kept. */
export class Naming {
  readonly #names: PageNames;
  readonly #tiers: PageTiers;
  /** How many sessions name a page. */
  readonly #users = new Map<string, number>();

  constructor(names: PageNames, tiers: PageTiers) {
    this.#names = names;
    this.#tiers = tiers;
    tiers.isNamed = (key) => this.isNamed(key);
  }

  isNamed(key: string): boolean {
    return this.#users.has(key);
  }

  /** Those that nobody names leave RAM too. */
  forget(pages: readonly Page[]): void {
    this.#tiers.forget(pages.map(({ key }) => key).filter((key) => !this.#users.has(key)));
  }

  /** From now on the session names the pages of these tokens. */
  name(kv: SessionKv, tokens: Int32Array): void {
    const before = kv.pages;
    kv.named = tokens;
    kv.pages = this.#names.of(tokens);
    for (const { key } of kv.pages) this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
    for (const { key } of before) {
      const left = (this.#users.get(key) ?? 0) - 1;
      if (left > 0) {
        this.#users.set(key, left);
      } else {
        this.#users.delete(key);
        this.#tiers.unname(key);
      }
    }
  }
}
