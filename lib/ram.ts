/** A page in RAM. */
export interface RamPage {
  bytes: Uint8Array;
  /** It never left this process. */
  ours: boolean;
}

/** Pages in RAM within a budget of bytes; the one used longest ago goes first. */
export class RamTier {
  readonly #pages = new Map<string, RamPage>();
  readonly #budget: number;
  #bytes = 0;

  constructor(budget: number) {
    this.#budget = budget;
  }

  get bytes(): number {
    return this.#bytes;
  }

  has(key: string): boolean {
    return this.#pages.has(key);
  }

  /** Counts as a use. */
  get(key: string): RamPage | undefined {
    const page = this.#pages.get(key);
    if (page === undefined) return undefined;
    this.#pages.delete(key);
    this.#pages.set(key, page);
    return page;
  }

  /** @returns the keys of pages that had to go for it; its own, when it is larger than the budget */
  put(key: string, page: RamPage): string[] {
    this.delete(key);
    if (page.bytes.byteLength > this.#budget) return [key];
    this.#pages.set(key, page);
    this.#bytes += page.bytes.byteLength;
    const evicted: string[] = [];
    for (const oldest of this.#pages.keys()) {
      if (this.#bytes <= this.#budget) break;
      this.delete(oldest);
      evicted.push(oldest);
    }
    return evicted;
  }

  delete(key: string): void {
    this.#bytes -= this.#pages.get(key)?.bytes.byteLength ?? 0;
    this.#pages.delete(key);
  }
}
