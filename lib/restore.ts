import type { Engine } from './engine.js';
import type { EngineInfo } from './native.js';
import type { Page, PageNames } from './pages.js';
import type { SessionKv } from './sessionkv.js';
import type { FoundPage, PageTiers } from './tiers.js';
import { commonPrefix } from './tokens.js';
import type { PageTier, RestoreWorth } from './worth.js';

/** Pages that are read while the ones before them go to the device. */
const READ_AHEAD = 4;

/** Pages to bring back, in order, and the tokens that they are of. */
interface Wanted {
  pages: readonly Page[];
  tokens: Int32Array;
}

/** Counters since load. */
export interface RestoreCounters {
  /** Turns for which KV came back, from RAM alone, and from the store at least in part. */
  ramRestores: number;
  storeRestores: number;
  /** Turns for which KV could have come back, but computing it was expected to be faster. */
  declinedRestores: number;
  /** Spent on bringing KV back. */
  restoreMs: number;
}

/** Brings KV back to the device: what a prompt can use, from where it is, if that is faster than computing it. */
export class Restore {
  readonly counters: RestoreCounters = { ramRestores: 0, storeRestores: 0, declinedRestores: 0, restoreMs: 0 };
  readonly #engine: Engine;
  readonly #info: EngineInfo;
  readonly #names: PageNames;
  readonly #tiers: PageTiers;
  readonly #worth: RestoreWorth;

  constructor(engine: Engine, info: EngineInfo, names: PageNames, tiers: PageTiers, worth: RestoreWorth) {
    this.#engine = engine;
    this.#info = info;
    this.#names = names;
    this.#tiers = tiers;
    this.#worth = worth;
  }

  /** What a turn with this prompt can use, for a seated session: of its own KV, and of others' that began alike. */
  async bringBack(kv: SessionKv, prompt: Int32Array, stopped: Promise<void>): Promise<void> {
    const { sequence } = kv;
    if (sequence === undefined) return;
    const began = performance.now();
    let held = kv.onDevice ? commonPrefix(kv.tokens, prompt) : 0;
    let wanted = this.#wanted(kv, prompt, held);
    if (wanted.pages.length > 0) {
      // What others hold of it on the device need not be read. (The engine itself shares it instead of copying pages from RAM, and
      // where there are no pages to bring, the turn finds it.)
      if (wanted.pages.some(({ key }) => this.#tiers.locate(key) !== 'ram')) {
        held = await this.#engine.adoptPrefix(sequence, prompt);
        wanted = this.#wanted(kv, prompt, held);
      }
      if (wanted.pages.length > 0) held = await this.#restore(sequence, wanted, held, stopped);
      this.counters.restoreMs += performance.now() - began;
      if (held === 0 && !this.#info.pages) return; // in one piece, where it was
    } else if (kv.onDevice) {
      return; // nothing has moved: the sequence holds what it held
    }
    kv.tokens = wanted.tokens.subarray(0, held);
    kv.onDevice = true;
    kv.copied = false;
  }

  /** What would bring KV back behind the first `held` tokens, which are on the device already. */
  #wanted(kv: SessionKv, prompt: Int32Array, held: number): Wanted {
    if (!this.#info.pages) {
      const common = commonPrefix(kv.tokens, prompt);
      // The engine cuts off what is too much, where the memory allows that.
      const usable = common > held && (this.#info.portableKv || common === kv.tokens.length);
      return usable && !kv.onDevice ? { pages: kv.pages, tokens: kv.tokens } : { pages: [], tokens: prompt };
    }
    const ownUntil = commonPrefix(kv.named, prompt);
    const pages: Page[] = [];
    for (const page of this.#names.of(prompt)) {
      if (page.to <= held) continue;
      const usable = this.#names.isFull(page) && this.#mayExist(page, kv);
      const found = usable ? page : kv.pages.find(({ from, to }) => from === page.from && to > held && to <= ownUntil);
      if (found === undefined) break;
      pages.push(found);
      if (!usable) break; // a short one has none behind it
    }
    return { pages, tokens: prompt };
  }

  /** KV that can't be checked is never taken from outside. */
  get storeHelps(): boolean {
    return this.#tiers.keepsPages && this.#info.portableKv;
  }

  /** A session that has KV knows where; a new one may find what others have stored. */
  #mayExist(page: Page, kv: SessionKv): boolean {
    return this.#tiers.locate(page.key) !== undefined || (kv.pages.length === 0 && this.storeHelps);
  }

  /** @returns how many tokens the sequence holds then */
  async #restore(sequence: number, { pages, tokens }: Wanted, held: number, stopped: Promise<void>): Promise<number> {
    const last = pages.at(-1)?.to ?? held;
    const count: Record<PageTier, number> = { ram: 0, store: 0 };
    for (const page of pages) count[this.#tiers.locate(page.key) ?? 'store']++;
    if (!this.#worth.pays(count, last - held)) {
      this.counters.declinedRestores++;
      return held;
    }
    const began = performance.now();
    const reads: Promise<FoundPage | undefined>[] = [];
    const imports: { page: Page; tier: PageTier; done: Promise<boolean> }[] = [];
    const stop = stopped.then(() => 'stopped' as const);
    for (const [i, page] of pages.entries()) {
      while (reads.length < Math.min(pages.length, i + READ_AHEAD))
        reads.push(this.#tiers.get(pages[reads.length] as Page));
      const found = await Promise.race([reads[i], stop]);
      if (found === 'stopped') break;
      if (found === undefined) {
        // Whoever ended before he wrote it did not write those behind it, and a full store has given them up as well.
        for (const { key } of pages.slice(i)) this.#tiers.unname(key);
        break;
      }
      const covered = tokens.subarray(page.from, page.to);
      // An engine that can't (it was closed, say) has refused: the turn will be told.
      const done = this.#engine.importKv(sequence, page.from, covered, found.kv, found.ours).catch(() => false);
      imports.push({ page, tier: found.tier, done });
    }
    return this.#count(imports, held, began);
  }

  /** Waits for pages on their way to the device. @returns how many tokens it holds then */
  async #count(
    imports: readonly { page: Page; tier: PageTier; done: Promise<boolean> }[],
    held: number,
    began: number,
  ): Promise<number> {
    const taken: Record<PageTier, number> = { ram: 0, store: 0 };
    for (const { page, tier, done } of imports) {
      if (!(await done)) {
        this.#tiers.counters.kvMisses++;
        held = Math.min(held, page.from);
        // No room, or not what it claims to be. Others behind it were refused as well.
        await Promise.allSettled(imports.map((each) => each.done));
        break;
      }
      taken[tier]++;
      held = page.to;
    }
    const ms = performance.now() - began;
    const all = taken.ram + taken.store;
    for (const tier of ['ram', 'store'] as const) this.#worth.restored(tier, taken[tier], (ms * taken[tier]) / all);
    if (taken.store > 0) this.counters.storeRestores++;
    else if (taken.ram > 0) this.counters.ramRestores++;
    return held;
  }
}
