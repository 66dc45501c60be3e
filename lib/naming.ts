import type { Page, PageNames } from './pages.js';
import type { SessionKv } from './sessionkv.js';
import type { PageTiers } from './tiers.js';
import { NO_TOKENS } from './tokens.js';

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

  /** The record that named these is gone: those that nobody names leave RAM too. */
  forget(pages: readonly Page[]): void {
    for (const { key } of pages) {
      if (this.#users.has(key)) this.#tiers.unname(key);
      else this.#tiers.forget([key]);
    }
  }

  /** From now on the session names the pages of these tokens, and so does its record before long. */
  name(kv: SessionKv, tokens: Int32Array): void {
    // The store may have kept the others for this session's record alone.
    for (const { key } of this.#replace(kv, tokens)) this.#tiers.unname(key);
  }

  /** `name()` what its KV is of now. */
  update(kv: SessionKv): void {
    const last = kv.pages.at(-1);
    this.name(kv, kv.tokens);
    // The session has gone on from its short last page, which nobody else can use.
    if (last !== undefined && !this.#names.isFull(last) && !this.isNamed(last.key)) this.#tiers.forget([last.key]);
  }

  /** It has ended. Its record names what it named. */
  leave(kv: SessionKv): void {
    for (const { key } of this.#replace(kv, NO_TOKENS)) if (!this.#users.has(key)) this.#tiers.unname(key);
  }

  /** @returns the pages that it names no more */
  #replace(kv: SessionKv, tokens: Int32Array): readonly Page[] {
    const before = kv.pages;
    kv.named = tokens;
    kv.pages = this.#names.of(tokens);
    for (const { key } of kv.pages) this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
    for (const { key } of before) {
      const left = (this.#users.get(key) ?? 0) - 1;
      if (left > 0) this.#users.set(key, left);
      else this.#users.delete(key);
    }
    const now = new Set(kv.pages.map(({ key }) => key));
    return before.filter(({ key }) => !now.has(key));
  }
}
