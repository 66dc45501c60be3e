import type { Engine } from './engine.js';
import type { EngineInfo } from './native.js';
import { commonPrefix, NO_TOKENS } from './tokens.js';

/** Where KV is. */
export type Tier = 'device' | 'ram' | 'store' | 'none';

/** Moving KV for fewer tokens than this costs more than computing them. */
const LEAST_TOKENS = 16;

/** KV as bytes, and the tokens it is the KV of. */
export interface HeldKv {
  bytes: Uint8Array;
  tokens: Int32Array;
}

/** The KV of one session, as residency sees it. Owned by the session; written by Residency alone. */
export class SessionKv {
  /** Device: the native sequence that holds it. */
  sequence: number | undefined;
  /** RAM: the sequence's bytes, as the engine gave them. */
  parked: Uint8Array | undefined;
  /** What `sequence` or `parked` holds, position by position. */
  tokens: Int32Array = NO_TOKENS;
  /** Store: reads the KV that was saved, or finds that it is of no use. */
  fetch: (() => Promise<HeldKv | undefined>) | undefined;
  /** A turn has it, or something else that must not be parked. */
  busy = false;
  /** Cells it will need, by estimate; counts while busy. */
  cells = 0;
  /** On its way from the device to RAM. */
  moving: Promise<void> = Promise.resolve();
  /** Told when it leaves the device by itself. */
  onParked: () => void = () => undefined;

  get tier(): Tier {
    if (this.tokens.length === 0) return this.fetch === undefined ? 'none' : 'store';
    // A session may have a sequence again while its KV is in RAM still, and neither while it is on the way.
    return this.sequence !== undefined && this.parked === undefined ? 'device' : 'ram';
  }
}

/** Counters since load. */
export interface ResidencyCounters {
  /** Times that KV left the device for RAM. */
  parks: number;
  /** Times that it came back, from RAM and from the store. */
  ramRestores: number;
  storeRestores: number;
  /** Times that it was there, but could not be used: the tokens were computed again. */
  kvMisses: number;
  /** Parked KV dropped because RAM's budget was spent. */
  ramEvictions: number;
  /** Spent on bringing KV back. */
  restoreMs: number;
}

/**
 * Decides which sessions hold a native sequence. An idle one gives its sequence up to one that speaks: its KV goes to RAM,
 * and comes back when it speaks again. A busy one is never parked.
 *
 * The engine takes commands in order, so a sequence is handed on at once: "copy out", "clear", "copy in" need no waiting
 * in between.
 */
export class Residency {
  readonly counters: ResidencyCounters = {
    parks: 0,
    ramRestores: 0,
    storeRestores: 0,
    kvMisses: 0,
    ramEvictions: 0,
    restoreMs: 0,
  };
  /** Told when somebody who waits may have a chance now. */
  onRoom: () => void = () => undefined;
  readonly #engine: Engine;
  readonly #info: EngineInfo;
  readonly #ramLimit: number;
  readonly #free: number[];
  /** Those with a sequence, the one used longest ago first. */
  readonly #resident = new Set<SessionKv>();
  /** Those with `parked`, the one parked longest ago first. */
  readonly #inRam = new Set<SessionKv>();
  #ramBytes = 0;
  #cellsWanted = 0;

  constructor(engine: Engine, info: EngineInfo, ramBytes: number) {
    this.#engine = engine;
    this.#info = info;
    this.#ramLimit = ramBytes;
    // Low numbers first: streams run together only while their numbers are close.
    this.#free = Array.from({ length: info.sequences }, (_, i) => info.sequences - 1 - i);
    engine.onPressure = (cells) => {
      this.#cellsWanted = cells;
      this.#relieve();
      this.onRoom();
    };
  }

  get residentCount(): number {
    return this.#resident.size;
  }

  get ramBytes(): number {
    return this.#ramBytes;
  }

  /** Whether a turn that needs so many cells can have a sequence now. */
  fits(kv: SessionKv, cells: number): boolean {
    const seat = kv.sequence !== undefined || this.#free.length > 0 || this.#idlest() !== undefined;
    if (!seat || !this.#info.unified) return seat;
    let taken = 0;
    for (const other of this.#resident) if (other.busy) taken += other.cells;
    return taken === 0 || taken + cells <= this.#info.contextTokens;
  }

  /** Gives a sequence to a turn that fits(), parking who is in the way. Pair it with `release()`. */
  seat(kv: SessionKv, cells: number): number {
    kv.busy = true;
    kv.cells = cells;
    if (kv.sequence === undefined) {
      if (this.#free.length === 0) this.#parkIdlest();
      kv.sequence = this.#free.pop();
    }
    if (kv.sequence === undefined) throw new RangeError('seat() was called although fits() says no');
    this.#touch(kv);
    while (this.#info.unified && this.#cellsInUse() > this.#info.contextTokens && this.#parkIdlest());
    return kv.sequence;
  }

  /** Brings back what a turn with this prompt can use of a seated session's KV. */
  async restore(kv: SessionKv, prompt: Int32Array): Promise<void> {
    await kv.moving;
    if (kv.sequence === undefined || kv.tier === 'device') return;
    const began = performance.now();
    const fromRam = kv.parked !== undefined;
    const source = kv.parked === undefined ? await kv.fetch?.() : { bytes: kv.parked, tokens: kv.tokens };
    this.#forgetRam(kv);
    kv.tokens = NO_TOKENS;
    if (source === undefined || commonPrefix(source.tokens, prompt) < LEAST_TOKENS) return;
    if (await this.#engine.importSequence(kv.sequence, source.tokens, source.bytes, fromRam)) {
      kv.tokens = source.tokens;
      if (fromRam) this.counters.ramRestores++;
      else this.counters.storeRestores++;
    } else {
      this.counters.kvMisses++;
    }
    this.counters.restoreMs += performance.now() - began;
  }

  /** The turn is over. @param tokens what the KV holds now; absent: as before */
  release(kv: SessionKv, tokens?: Int32Array): void {
    kv.busy = false;
    if (tokens !== undefined) kv.tokens = tokens;
    if (kv.sequence !== undefined) this.#touch(kv);
    this.#relieve();
    this.onRoom();
  }

  /** A copy of the KV on the device or in RAM; undefined when there is none. Not while a turn runs. */
  async copy(kv: SessionKv): Promise<HeldKv | undefined> {
    await kv.moving;
    const { tokens, parked, sequence } = kv;
    if (parked !== undefined) return { bytes: parked, tokens };
    if (sequence === undefined || tokens.length === 0) return undefined;
    return { bytes: await this.#engine.exportSequence(sequence), tokens };
  }

  /** Leaves the device now. */
  async park(kv: SessionKv): Promise<void> {
    if (kv.sequence !== undefined && !kv.busy) this.#park(kv);
    this.onRoom();
    await kv.moving;
  }

  /** The session is gone, and its KV with it. */
  drop(kv: SessionKv): void {
    if (kv.sequence !== undefined) {
      void this.#engine.clearSequence(kv.sequence).catch(ignore);
      this.#giveBack(kv);
    }
    kv.busy = false;
    kv.tokens = NO_TOKENS;
    kv.fetch = undefined;
    this.#forgetRam(kv);
    // What is still on its way to RAM must not arrive.
    void kv.moving.then(() => {
      this.#forgetRam(kv);
    });
    this.onRoom();
  }

  #idlest(): SessionKv | undefined {
    for (const kv of this.#resident) if (!kv.busy) return kv;
    return undefined;
  }

  #parkIdlest(): boolean {
    const kv = this.#idlest();
    if (kv !== undefined) this.#park(kv);
    return kv !== undefined;
  }

  #park(kv: SessionKv): void {
    const { sequence, tier } = kv;
    this.#giveBack(kv);
    if (sequence === undefined) return;
    const copied = tier === 'device' ? this.#engine.exportSequence(sequence) : undefined;
    void this.#engine.clearSequence(sequence).catch(ignore);
    if (copied === undefined) return;
    this.counters.parks++;
    kv.moving = copied.then(
      (bytes) => {
        this.#keepInRam(kv, bytes);
        kv.onParked();
      },
      () => {
        kv.tokens = NO_TOKENS; // the model was closed, or the engine could not: it is only a cache
      },
    );
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

  #cellsInUse(): number {
    let cells = 0;
    for (const kv of this.#resident) cells += kv.busy ? kv.cells : kv.tokens.length;
    return cells;
  }

  /** The engine waits for cells: idle sessions make room as soon as there are any. */
  #relieve(): void {
    while (this.#cellsWanted > 0) {
      const kv = this.#idlest();
      if (kv === undefined) return;
      this.#cellsWanted -= kv.tokens.length;
      this.#park(kv);
    }
  }

  #keepInRam(kv: SessionKv, bytes: Uint8Array): void {
    kv.parked = bytes;
    this.#inRam.add(kv);
    this.#ramBytes += bytes.byteLength;
    for (const oldest of this.#inRam) {
      if (this.#ramBytes <= this.#ramLimit) return;
      this.#forgetRam(oldest);
      oldest.tokens = NO_TOKENS;
      this.counters.ramEvictions++;
    }
  }

  #forgetRam(kv: SessionKv): void {
    if (!this.#inRam.delete(kv)) return;
    this.#ramBytes -= kv.parked?.byteLength ?? 0;
    kv.parked = undefined;
  }
}

function ignore(): void {
  // A closed engine has nothing left to clear.
}
