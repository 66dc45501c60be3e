/** Where KV can be brought back from. */
export type PageTier = 'ram' | 'store';

/** Weight of a new measurement. */
const FRESH = 0.3;
/** What a refusal does to the estimate: a tier that was slow once is tried again after some dozens of them. */
const FORGETTING = 0.98;

/** Whether bringing KV back beats computing it, from what both took lately on this machine. */
export class RestoreWorth {
  readonly #always: boolean;
  /** Milliseconds, smoothed; undefined: never measured. */
  #perToken: number | undefined;
  readonly #perPage: Record<PageTier, number | undefined> = { ram: undefined, store: undefined };

  /** @param always whatever it takes */
  constructor(always: boolean) {
    this.#always = always;
  }

  /** Prefill took so long. */
  computed(tokens: number, ms: number): void {
    if (tokens > 0) this.#perToken = smooth(this.#perToken, ms / tokens);
  }

  /** Pages of this tier took so long to come back. */
  restored(tier: PageTier, pages: number, ms: number): void {
    if (pages > 0) this.#perPage[tier] = smooth(this.#perPage[tier], ms / pages);
  }

  /** What is not known yet is tried. */
  pays(pages: Readonly<Record<PageTier, number>>, tokens: number): boolean {
    if (this.#always || this.#perToken === undefined) return true;
    const restore = pages.ram * (this.#perPage.ram ?? 0) + pages.store * (this.#perPage.store ?? 0);
    if (restore < tokens * this.#perToken) return true;
    for (const tier of ['ram', 'store'] as const) {
      const perPage = this.#perPage[tier];
      if (pages[tier] > 0 && perPage !== undefined) this.#perPage[tier] = perPage * FORGETTING;
    }
    return false;
  }
}

function smooth(old: number | undefined, fresh: number): number {
  return old === undefined ? fresh : (1 - FRESH) * old + FRESH * fresh;
}
