import { LlamaError } from './errors.js';

/** What waits. Owned by the queue until `next()` or `remove()` gives it away. */
export interface QueueEntry<T, K = string> {
  readonly key: K;
  readonly priority: number;
  readonly value: T;
  /** Not counted, never refused, and always admissible. */
  readonly unbounded?: boolean;
  /** When it was added, in milliseconds of the queue's clock. */
  readonly queuedAt: number;
}

/** How a queue behaves. */
export interface QueueOptions {
  /** Most entries that may wait. Default: 1024. */
  limit?: number;
  /** Milliseconds of waiting that are worth one step of priority. Default: 5000. */
  agingMs?: number;
  /** Milliseconds, never backwards. Default: `performance.now`. */
  now?: () => number;
}

interface Waiting<T, K> extends QueueEntry<T, K> {
  /** Lower goes first. */
  readonly rank: number;
  /** Breaks ties: first come, first served. */
  readonly order: number;
}

/** The entries of one key in order of arrival; [0] is its head. */
interface Lane<T, K> {
  readonly waiting: Waiting<T, K>[];
  busy: boolean;
}

/**
 * Turns that wait, over all sessions: bounded, fair and prioritised. The entries of one key (a session) come out in order and
 * one at a time: after `next()` gave one, its key is busy until `release(key)`.
 *
 * An entry's priority rises by one with every `agingMs` that it waits. As all rise at the same speed, the order of two entries
 * never changes: it is that of `queuedAt - priority * agingMs`, fixed on arrival. So nobody starves (an entry is overtaken by
 * later ones for `agingMs` times the difference of priorities at most), and nothing is ever sorted again.
 */
export class TurnQueue<T, K = string> implements Iterable<QueueEntry<T, K>> {
  readonly #limit: number;
  readonly #agingMs: number;
  readonly #now: () => number;
  readonly #lanes = new Map<K, Lane<T, K>>();
  /**
   * The heads of the lanes that aren't busy, best first; those that are unbounded apart, so that `next()` looks at one of each.
   * Sorted arrays: finding a place is O(log n), and moving 10,000 pointers takes some 10 microseconds, once per turn.
   */
  readonly #heads: Waiting<T, K>[] = [];
  readonly #unbounded: Waiting<T, K>[] = [];
  #size = 0;
  #arrivals = 0;

  constructor(options: QueueOptions = {}) {
    this.#limit = options.limit ?? 1024;
    this.#agingMs = options.agingMs ?? 5000;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Entries that count and wait; those that `next()` gave away are not among them. */
  get size(): number {
    return this.#size;
  }

  /**
   * @param entry `unbounded`: it waits beside the limit, and for nothing but its key
   * @throws LlamaError QUEUE_FULL when `limit` entries wait already
   */
  add(entry: { key: K; priority: number; value: T; unbounded?: boolean }): QueueEntry<T, K> {
    if (entry.unbounded !== true && this.#size >= this.#limit) {
      const message = `${String(this.#size)} turns wait already, which is maxQueued; send again later or load with a higher maxQueued.`;
      throw new LlamaError('QUEUE_FULL', message);
    }
    const queuedAt = this.#now();
    const rank = queuedAt - entry.priority * this.#agingMs;
    const waiting: Waiting<T, K> = { ...entry, queuedAt, rank, order: this.#arrivals++ };
    const lane = this.#lane(waiting.key);
    lane.waiting.push(waiting);
    if (entry.unbounded !== true) this.#size++;
    if (!lane.busy && lane.waiting.length === 1) this.#enter(waiting);
    return waiting;
  }

  /**
   * Takes out the best entry whose key isn't busy, and makes its key busy.
   * @param admissible asked of the best one that is not unbounded. No: no other of these goes either, as small ones would keep a
   * large one out for ever. Must not change the queue
   */
  next(admissible: (entry: QueueEntry<T, K>) => boolean = () => true): QueueEntry<T, K> | undefined {
    const entry = this.#best(admissible);
    if (entry === undefined) return undefined;
    this.#leave(entry);
    const lane = this.#lane(entry.key);
    lane.waiting.shift();
    lane.busy = true;
    if (entry.unbounded !== true) this.#size--;
    return entry;
  }

  /** The entry that `next()` gave of this key is done: the next one of the key may go. No effect on a key that isn't busy. */
  release(key: K): void {
    const lane = this.#lanes.get(key);
    if (lane?.busy !== true) return;
    lane.busy = false;
    const head = lane.waiting[0];
    if (head === undefined) this.#lanes.delete(key);
    else this.#enter(head);
  }

  /** Takes an entry out that waits. False: it waits no longer. */
  remove(entry: QueueEntry<T, K>): boolean {
    const lane = this.#lanes.get(entry.key);
    const index = lane?.waiting.indexOf(entry as Waiting<T, K>) ?? -1;
    if (lane === undefined || index < 0) return false;
    lane.waiting.splice(index, 1);
    if (entry.unbounded !== true) this.#size--;
    if (lane.busy) return true;
    if (index === 0) this.#leave(entry as Waiting<T, K>);
    const head = lane.waiting[0];
    if (head === undefined) this.#lanes.delete(entry.key);
    else if (index === 0) this.#enter(head);
    return true;
  }

  /** All that wait, key by key, each key in order. A copy, so that they may be removed on the way. */
  [Symbol.iterator](): IterableIterator<QueueEntry<T, K>> {
    return [...this.#lanes.values()].flatMap((lane) => lane.waiting).values();
  }

  #lane(key: K): Lane<T, K> {
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane: Lane<T, K> = { waiting: [], busy: false };
    this.#lanes.set(key, lane);
    return lane;
  }

  #best(admissible: (entry: QueueEntry<T, K>) => boolean): Waiting<T, K> | undefined {
    const [head] = this.#heads;
    const [unbounded] = this.#unbounded;
    if (head === undefined || (unbounded !== undefined && precedes(unbounded, head))) return unbounded;
    return admissible(head) ? head : unbounded;
  }

  #enter(head: Waiting<T, K>): void {
    const heads = this.#headsLike(head);
    heads.splice(placeOf(head, heads), 0, head);
  }

  #leave(head: Waiting<T, K>): void {
    const heads = this.#headsLike(head);
    heads.splice(placeOf(head, heads), 1);
  }

  #headsLike(head: Waiting<T, K>): Waiting<T, K>[] {
    return head.unbounded === true ? this.#unbounded : this.#heads;
  }
}

/** No two entries compare equal. */
function precedes<T, K>(a: Waiting<T, K>, b: Waiting<T, K>): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.order < b.order);
}

/** Where it stands among the heads, or would stand. */
function placeOf<T, K>(entry: Waiting<T, K>, heads: readonly Waiting<T, K>[]): number {
  let low = 0;
  let high = heads.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (precedes(heads[middle] as Waiting<T, K>, entry)) low = middle + 1;
    else high = middle;
  }
  return low;
}
