import { decodePage, pageHeader } from './page.js';
import type { Page } from './pages.js';
import { RamTier } from './ram.js';
import type { Durability, SessionStore } from './stores/store.js';
import type { PageTier } from './worth.js';
import { WriteBehind } from './writebehind.js';

/** A page's KV, and where it was. */
export interface FoundPage {
  kv: Uint8Array;
  tier: PageTier;
  /** It never left this process. */
  ours: boolean;
}

/** Counters since load. */
export interface TierCounters {
  /** Pages that were read, and their bytes. */
  ramHits: number;
  ramHitBytes: number;
  storeHits: number;
  storeHitBytes: number;
  /** Spent on reading and verifying pages of the store. */
  storeReadMs: number;
  /** Pages that were expected, but were gone or of no use: their tokens were computed again. */
  kvMisses: number;
  /** Pages dropped to keep to RAM's budget. */
  ramEvictions: number;
  /** Pages that were written to the store, and their bytes. */
  storeWrites: number;
  storeWriteBytes: number;
  /** Pages that the store could not read or write. */
  storeFailures: number;
}

/** KV pages outside the device: in RAM first, and behind it in the store, if that keeps pages. */
export class PageTiers {
  readonly counters: TierCounters = {
    ramHits: 0,
    ramHitBytes: 0,
    storeHits: 0,
    storeHitBytes: 0,
    storeReadMs: 0,
    kvMisses: 0,
    ramEvictions: 0,
    storeWrites: 0,
    storeWriteBytes: 0,
    storeFailures: 0,
  };
  readonly #ram: RamTier;
  readonly #store: SessionStore;
  /** Pages on their way into RAM, from the device or the store. */
  readonly #arriving = new Map<string, Promise<FoundPage | undefined>>();
  /** Of these, those that the store is asked for and may not have. */
  readonly #sought = new Set<string>();
  /** Pages that the store is believed to have, and whether they survive a power failure, as far as is known here. */
  readonly #stored = new Map<string, boolean>();
  readonly #unwritten: WriteBehind;
  /** Whether a session of this process names it. */
  isNamed: (key: string) => boolean = () => true;

  constructor(store: SessionStore, ramBytes: number) {
    this.#store = store;
    this.#ram = new RamTier(ramBytes);
    // What save() has written meanwhile is not written again.
    this.#unwritten = new WriteBehind(async (key, kv) => {
      if (!this.#stored.has(key)) await this.#write(key, kv, 'none');
    });
  }

  get ramBytes(): number {
    return this.#ram.bytes;
  }

  get keepsPages(): boolean {
    return this.#store.putPage !== undefined && this.#store.getPage !== undefined;
  }

  /** Where a page is, as far as is known here; undefined: perhaps nowhere. */
  locate(key: string): PageTier | undefined {
    const comes = this.#arriving.has(key) && !this.#sought.has(key);
    if (this.#ram.has(key) || comes || this.#unwritten.has(key)) return 'ram';
    return this.#stored.has(key) ? 'store' : undefined;
  }

  isStored(key: string): boolean {
    return this.#stored.has(key);
  }

  /** Whether the store has it as `save()` would write it. */
  isDurable(key: string, durability: Durability): boolean {
    return this.#stored.get(key) === true || (durability === 'none' && this.#stored.has(key));
  }

  /** A record says that the store may have these. */
  presume(pages: readonly Page[]): void {
    if (this.keepsPages) for (const { key } of pages) this.#believe(key);
  }

  /**
   * Takes a page into RAM.
   * @param ours it never left this process
   * @returns it; undefined when `kv` rejects: the engine could not, or was closed
   */
  add(key: string, kv: Promise<Uint8Array>, ours: boolean = true): Promise<FoundPage | undefined> {
    const arrival = kv.then(
      (bytes): FoundPage => ({ kv: bytes, tier: 'ram', ours }),
      () => undefined,
    );
    return this.#arrive(key, arrival);
  }

  /**
   * Puts a page on its way to the store.
   * @param kv that never left this process; absent: what RAM has
   * @param recorded settles when the store has been told of the record that names it; never rejects. Absent: it has been
   */
  writeBehind(key: string, kv?: Uint8Array, recorded?: Promise<unknown>): void {
    const page = kv === undefined ? this.#ram.get(key) : { bytes: kv, ours: true };
    if (page === undefined || !this.keepsPages || this.#stored.has(key) || this.#unwritten.has(key)) return;
    this.#unwritten.add(key, page, recorded);
    if (!this.#ram.has(key)) this.#unwritten.hold(key);
  }

  /** Reads a page. Never rejects: what is gone, damaged or unreadable is a miss. */
  async get(page: Page): Promise<FoundPage | undefined> {
    const found = await this.#find(page.key);
    if (found === undefined) return undefined;
    if (found.tier === 'ram') {
      this.counters.ramHits++;
      this.counters.ramHitBytes += found.kv.byteLength;
    } else {
      this.counters.storeHits++;
      this.counters.storeHitBytes += found.kv.byteLength;
    }
    return found;
  }

  /** Of no use: neither RAM nor the store is to keep it. */
  async discard(key: string): Promise<void> {
    this.counters.kvMisses++;
    this.forget([key]);
    await this.#store.deletePage?.(key).catch(() => {
      this.counters.storeFailures++;
    });
  }

  /** No session names it any more: whether the store has it is for the next one to find out. */
  unname(key: string): void {
    this.#stored.delete(key);
  }

  /** Nobody in this process wants these any more. */
  forget(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#arriving.delete(key);
      this.#ram.delete(key);
      this.#unwritten.drop(key);
      this.#stored.delete(key);
    }
  }

  /**
   * Writes a page now, unless the store has it and it is as durable.
   * @throws LlamaError STORE_FAILED
   */
  async save(page: Page, kv: Uint8Array, durability: Durability): Promise<void> {
    await this.#unwritten.writing(page.key);
    if (!this.isDurable(page.key, durability)) await this.#write(page.key, kv, durability);
  }

  /** Settles when nothing waits for the store. */
  async written(): Promise<void> {
    await this.#unwritten.written();
  }

  async #find(key: string): Promise<FoundPage | undefined> {
    const arriving = await this.#arriving.get(key);
    if (arriving !== undefined) return arriving;
    const inRam = this.#ram.get(key);
    if (inRam !== undefined) return { kv: inRam.bytes, tier: 'ram', ours: inRam.ours };
    const unwritten = this.#unwritten.get(key);
    if (unwritten !== undefined) return { kv: unwritten.bytes, tier: 'ram', ours: unwritten.ours };
    // Two who ask at the same time read it once.
    return this.#arriving.get(key) ?? this.#seek(key);
  }

  async #seek(key: string): Promise<FoundPage | undefined> {
    this.#sought.add(key);
    try {
      return await this.#arrive(key, this.#read(key));
    } finally {
      this.#sought.delete(key);
    }
  }

  async #arrive(key: string, page: Promise<FoundPage | undefined>): Promise<FoundPage | undefined> {
    this.#arriving.set(key, page);
    const found = await page;
    const wanted = this.#arriving.get(key) === page; // and not forgotten on the way
    if (wanted) this.#arriving.delete(key);
    if (found !== undefined && wanted) {
      for (const evicted of this.#ram.put(key, { bytes: found.kv, ours: found.ours })) {
        this.counters.ramEvictions++;
        this.#unwritten.hold(evicted);
      }
    }
    return found;
  }

  async #read(key: string): Promise<FoundPage | undefined> {
    if (this.#store.getPage === undefined) return undefined;
    const began = performance.now();
    const expected = this.#stored.has(key);
    try {
      const bytes = await this.#store.getPage(key);
      const page = bytes && (await decodePage(bytes, key));
      if (page !== undefined && 'kv' in page) {
        this.#believe(key);
        return { kv: page.kv, tier: 'store', ours: false };
      }
      if (page !== undefined) await this.discard(key);
      else if (expected) this.counters.kvMisses++;
    } catch {
      this.counters.storeFailures++;
      if (expected) this.counters.kvMisses++;
    } finally {
      this.counters.storeReadMs += performance.now() - began;
    }
    this.#stored.delete(key);
    return undefined;
  }

  async #write(key: string, kv: Uint8Array, durability: Durability): Promise<void> {
    try {
      const header = await pageHeader(key, kv);
      const before = this.#stored.has(key);
      if ((await this.#store.putPage?.(key, [header, kv], { durability })) !== true) return;
      // Whoever named it may have ended meanwhile: nobody would forget it again.
      if (this.isNamed(key)) this.#stored.set(key, durability !== 'none');
      if (before) return; // and has only been synced
      this.counters.storeWrites++;
      this.counters.storeWriteBytes += header.byteLength + kv.byteLength;
    } catch (error) {
      this.counters.storeFailures++;
      throw error;
    }
  }

  /** Somebody else wrote it: what it lacks of durability is his. */
  #believe(key: string): void {
    if (!this.#stored.has(key)) this.#stored.set(key, true);
  }
}
