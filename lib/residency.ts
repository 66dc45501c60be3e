import type { Engine } from './engine.js';
import type { EngineInfo } from './native.js';
import { Naming } from './naming.js';
import type { Page, PageNames } from './pages.js';
import { Restore, type RestoreCounters } from './restore.js';
import type { SessionKv, Tier } from './sessionkv.js';
import type { PageTiers } from './tiers.js';
import { commonPrefix, NO_TOKENS } from './tokens.js';
import type { RestoreWorth } from './worth.js';

export { SessionKv, type Tier } from './sessionkv.js';

/** Counters since load. */
export interface ResidencyCounters extends RestoreCounters {
  /** Times that KV left the device. */
  parks: number;
}

/**
 * Decides which sessions hold a native sequence. An idle one gives its sequence up to one that speaks: its KV goes to RAM, page
 * by page, and comes back when it speaks again. A busy one is never parked.
 *
 * The engine takes commands in order, so a sequence is handed on at once: "copy out", "clear", "copy in" need no waiting
 * in between. Whether there are cells enough is the engine's to know: sessions share them.
 */
export class Residency {
  readonly worth: RestoreWorth;
  readonly tiers: PageTiers;
  /** Told when somebody who waits may have a chance now. */
  onRoom: () => void = () => undefined;
  readonly #engine: Engine;
  readonly #info: EngineInfo;
  readonly #names: PageNames;
  readonly #naming: Naming;
  readonly #restore: Restore;
  readonly #free: number[];
  /** Those with a sequence, the one used longest ago first. */
  readonly #resident = new Set<SessionKv>();
  #parks = 0;
  #cellsWanted = 0;

  constructor(engine: Engine, info: EngineInfo, names: PageNames, tiers: PageTiers, worth: RestoreWorth) {
    this.#engine = engine;
    this.#info = info;
    this.#names = names;
    this.tiers = tiers;
    this.worth = worth;
    this.#naming = new Naming(names, tiers);
    this.#restore = new Restore(engine, info, names, tiers, worth);
    // Low numbers first: streams run together only while their numbers are close.
    this.#free = Array.from({ length: info.sequences }, (_, i) => info.sequences - 1 - i);
    engine.onPressure = (cells) => {
      this.#cellsWanted = cells;
      this.#relieve();
      this.onRoom();
    };
  }

  get counters(): Readonly<ResidencyCounters> {
    return { parks: this.#parks, ...this.#restore.counters };
  }

  get residentCount(): number {
    return this.#resident.size;
  }

  tierOf(kv: SessionKv): Tier {
    if (kv.tokens.length === 0) return 'none';
    if (kv.onDevice) return 'device';
    const last = kv.pages.at(-1);
    return (last && this.tiers.locate(last.key)) ?? 'none';
  }

  /** Whether a turn can have a sequence now. */
  fits(kv: SessionKv): boolean {
    return kv.sequence !== undefined || this.#free.length > 0 || this.#idlest() !== undefined;
  }

  /** Gives a sequence to a turn that fits(), parking who is in the way. Pair it with `release()`. */
  seat(kv: SessionKv): number {
    kv.busy = true;
    if (kv.sequence === undefined) {
      if (this.#free.length === 0) this.#parkIdlest();
      kv.sequence = this.#free.pop();
    }
    if (kv.sequence === undefined) throw new RangeError('seat() was called although fits() says no');
    this.#touch(kv);
    return kv.sequence;
  }

  /**
   * Brings back what a turn with this prompt can use, for a seated session: of its own KV, and of others' that began alike.
   * @param stopped settles when it is not wanted any more: no store is waited for then
   */
  restore(kv: SessionKv, prompt: Int32Array, stopped: Promise<void>): Promise<void> {
    return this.#restore.bringBack(kv, prompt, stopped);
  }

  /** The turn is over. @param tokens what the KV holds now; absent: as before */
  release(kv: SessionKv, tokens?: Int32Array): void {
    kv.busy = false;
    kv.idleSince = performance.now();
    if (tokens !== undefined) {
      kv.tokens = tokens;
      kv.onDevice = true;
      kv.copied = false;
    }
    if (kv.sequence !== undefined) this.#touch(kv);
    this.#relieve();
    this.onRoom();
  }

  /** The pages of what a session's KV is of, which it names from now on. */
  pagesOf(kv: SessionKv): readonly Page[] {
    if (kv.named !== kv.tokens) this.#naming.update(kv);
    return kv.pages;
  }

  namesOf(tokens: Int32Array): readonly Page[] {
    return this.#names.of(tokens);
  }

  /** The KV of these tokens is in RAM or the store. */
  hold(kv: SessionKv, tokens: Int32Array): void {
    kv.tokens = tokens;
    this.#naming.name(kv, tokens);
  }

  /** A record says that the store may have the KV of these tokens. */
  presume(kv: SessionKv, tokens: Int32Array): void {
    this.hold(kv, tokens);
    if (this.#restore.storeHelps) this.tiers.presume(kv.pages);
    else if (this.tierOf(kv) === 'none') this.hold(kv, NO_TOKENS);
  }

  /** A page of a session that no turn runs in; undefined: it is nowhere. */
  async read(kv: SessionKv, page: Page): Promise<Uint8Array | undefined> {
    const found = await this.tiers.get(page);
    if (found !== undefined) return found.kv;
    if (kv.onDevice && kv.sequence !== undefined) return this.#engine.exportKv(kv.sequence, page.from, page.to);
    return (await this.tiers.get(page))?.kv; // it may have been parked meanwhile
  }

  /** Leaves the device now, for RAM and the store, which may have failed when it left before. */
  async park(kv: SessionKv): Promise<void> {
    if (kv.sequence !== undefined && !kv.busy) this.#park(kv);
    else if (this.#restore.storeHelps) for (const { key } of kv.pages) this.tiers.writeBehind(key);
    this.onRoom();
    await kv.moving;
  }

  /** `child` begins with the first of what `parent` holds: the same pages, and, if it can have a sequence, the same cells. */
  fork(parent: SessionKv, child: SessionKv, tokens: Int32Array): void {
    const common = commonPrefix(parent.tokens, tokens);
    if (!this.#info.pages && common < parent.tokens.length) return; // its one page is of more than that
    child.tokens = parent.tokens.subarray(0, common);
    this.#naming.name(child, child.tokens);
    if (parent.onDevice && this.#info.pages && common > 0) this.#share(child);
  }

  /** Forgets what is beyond these tokens. */
  async cut(kv: SessionKv, tokens: Int32Array): Promise<void> {
    if (kv.onDevice && kv.sequence !== undefined) {
      kv.tokens = tokens.subarray(0, await this.#engine.adoptPrefix(kv.sequence, tokens));
    } else {
      const common = commonPrefix(kv.tokens, tokens);
      const left = kv.pages.findLast(({ to }) => to <= common)?.to ?? 0;
      this.#naming.name(kv, (kv.tokens = tokens.subarray(0, left)));
    }
  }

  /** Copies to RAM and the store what they lack of the sessions that have been idle since before then. */
  settle(idleSince: number): void {
    for (const kv of this.#resident) {
      if (!kv.busy && kv.onDevice && !kv.copied && kv.idleSince < idleSince) this.#copyOut(kv);
    }
  }

  /** Parks the sessions that have been idle since before then. */
  parkIdle(idleSince: number): void {
    for (const kv of [...this.#resident]) if (!kv.busy && kv.idleSince < idleSince) this.#park(kv);
  }

  /** The session has ended, and has no place in this process any more. */
  drop(kv: SessionKv): void {
    if (kv.sequence !== undefined) {
      void this.#engine.clearSequence(kv.sequence).catch(ignore);
      this.#giveBack(kv);
    }
    kv.busy = false;
    kv.onDevice = false;
    kv.tokens = NO_TOKENS;
    this.#naming.leave(kv);
    this.onRoom();
  }

  /** `drop()`, and nothing of it is wanted again: pages that no other session here names leave RAM as well. */
  delete(kv: SessionKv): void {
    const { pages } = kv;
    this.drop(kv);
    this.#naming.forget(pages);
  }

  /** Nothing is wanted again of what a session said whose record is gone. */
  forget(tokens: Int32Array): void {
    this.#naming.forget(this.#names.of(tokens));
  }

  /** Gives an idle session a sequence that nobody needs, with the cells that others hold of its tokens. */
  #share(kv: SessionKv): void {
    const sequence = this.#free.pop();
    if (sequence === undefined) return;
    kv.sequence = sequence;
    this.#touch(kv);
    // Nobody is asked whether it worked: the engine takes commands in order, and another turn of the parent's comes later.
    kv.onDevice = true;
    kv.copied = false;
    kv.idleSince = performance.now();
    void this.#engine.adoptPrefix(sequence, kv.tokens).catch(ignore);
  }

  #idlest(): SessionKv | undefined {
    let idlest: SessionKv | undefined;
    for (const kv of this.#resident) {
      if (!kv.busy && (idlest === undefined || kv.rank < idlest.rank)) idlest = kv;
    }
    return idlest;
  }

  #parkIdlest(): void {
    const kv = this.#idlest();
    if (kv !== undefined) this.#park(kv);
  }

  #park(kv: SessionKv): void {
    const { sequence } = kv;
    if (sequence === undefined) return;
    const had = kv.onDevice && kv.tokens.length > 0;
    if (had) {
      this.#copyOut(kv);
      this.#parks++;
    }
    void this.#engine.clearSequence(sequence).catch(ignore);
    this.#giveBack(kv);
    kv.onDevice = false;
    if (had) void kv.moving.then(kv.onParked);
  }

  /** Gives RAM and the store what they lack; `moving` settles when RAM has it, or can't be given it. */
  #copyOut(kv: SessionKv): void {
    kv.copied = true;
    this.#naming.update(kv);
    const copies = kv.pages.map((page) => this.#copyPage(kv, page));
    kv.moving = Promise.all([kv.moving, ...copies]).then(() => undefined);
  }

  async #copyPage({ sequence, recorded }: SessionKv, { key, from, to }: Page): Promise<void> {
    if (sequence === undefined || this.tiers.isStored(key)) return;
    const known = this.tiers.locate(key) !== undefined;
    const found = known ? undefined : await this.tiers.add(key, this.#engine.exportKv(sequence, from, to));
    if (!this.#restore.storeHelps) return;
    // The store takes no page that no record names.
    if (found !== undefined) this.tiers.writeBehind(key, found.kv, recorded);
    else if (known)
      void recorded.then(() => {
        this.tiers.writeBehind(key);
      });
  }

  #giveBack(kv: SessionKv): void {
    if (kv.sequence !== undefined) this.#free.push(kv.sequence);
    this.#free.sort((a, b) => b - a);
    kv.sequence = undefined;
    this.#resident.delete(kv);
  }

  #touch(kv: SessionKv): void {
    this.#resident.delete(kv);
    this.#resident.add(kv);
  }

  /** The engine waits for cells: idle sessions make room as soon as there are any. */
  #relieve(): void {
    while (this.#cellsWanted > 0) {
      const kv = this.#idlest();
      if (kv === undefined) return;
      if (kv.onDevice) this.#cellsWanted -= kv.tokens.length;
      this.#park(kv);
    }
  }
}

function ignore(): void {
  // A closed engine has nothing left to clear.
}
