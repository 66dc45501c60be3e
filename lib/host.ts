import type { Conversation } from './conversation.js';
import type { Engine } from './engine.js';
import { LlamaError } from './errors.js';
import type { EngineInfo } from './native.js';
import { OneByOne } from './onebyone.js';
import { TurnQueue, type QueueEntry } from './queue.js';
import type { Residency } from './residency.js';
import { storeBehind } from './stores/encrypted.js';
import type { Durability, SessionStore } from './stores/store.js';

/** Something that a session does: one at a time, in order of arrival. */
export interface Operation {
  /** Whether there is a sequence for it now. Asked of turns: nothing else needs one. */
  hasRoom(): boolean;
  /** Never rejects. */
  run(): Promise<void>;
  /** It was waiting when the session or the model was closed. */
  refuse(error: Error): void;
}

/** Counters since load. */
export interface TurnCounters {
  turns: number;
  /** Of these. */
  cancelledTurns: number;
  /** Beside these: aborted, timed out, refused or failed. */
  failedTurns: number;
  /** Damaged records that a listing left out. */
  corruptRecords: number;
}

export type Waiting = QueueEntry<Operation, Conversation>;

/** What the models of a store object share. */
interface Sharing {
  /** Weak: a model that is dropped without close() is collected. */
  hosts: readonly WeakRef<Host>[];
  /** Claims and releases of a session: to the store all of these models are one. */
  readonly claiming: OneByOne;
}

const sharingOf = new WeakMap<SessionStore, Sharing>();

/** What the sessions of one model share: the engine, who may use it when, and where records go. */
export class Host {
  readonly engine: Engine;
  readonly info: EngineInfo;
  readonly fingerprint: string;
  readonly residency: Residency;
  readonly store: SessionStore;
  readonly durability: Durability;
  /** After so long without a turn a session leaves the device. */
  readonly idleMs: number;
  /** Every session that is open in this process, by id. */
  readonly open: Map<string, Conversation> = new Map();
  /** Sessions on their way into `open`, or out of the store, by id. */
  readonly #moving = new OneByOne();
  /** Sessions that it has asked the store for, and not let go of. */
  readonly #claimed = new Set<string>();
  readonly #sharing: Sharing;
  readonly counters: TurnCounters = { turns: 0, cancelledTurns: 0, failedTurns: 0, corruptRecords: 0 };
  readonly #queue: TurnQueue<Operation, Conversation>;
  #running = 0;
  /** Who waits until nothing runs. */
  readonly #awaitDrained: (() => void)[] = [];
  closed = false;

  constructor(parts: {
    engine: Engine;
    info: EngineInfo;
    fingerprint: string;
    residency: Residency;
    store: SessionStore;
    durability: Durability;
    maxQueued: number;
    idleMs: number;
  }) {
    this.engine = parts.engine;
    this.info = parts.info;
    this.fingerprint = parts.fingerprint;
    this.residency = parts.residency;
    this.store = parts.store;
    this.durability = parts.durability;
    this.idleMs = parts.idleMs;
    this.#queue = new TurnQueue({ limit: parts.maxQueued });
    const shared = storeBehind(parts.store);
    this.#sharing = sharingOf.get(shared) ?? { hosts: [], claiming: new OneByOne() };
    const others = this.#sharing.hosts.filter((host) => host.deref() !== undefined);
    this.#sharing.hosts = [...others, new WeakRef(this)];
    sharingOf.set(shared, this.#sharing);
    parts.residency.onRoom = () => {
      this.#pump();
    };
  }

  get queuedTurns(): number {
    return this.#queue.size;
  }

  /** @throws LlamaError QUEUE_FULL, SESSION_CLOSED, MODEL_CLOSED */
  addTurn(conversation: Conversation, priority: number, operation: Operation): Waiting {
    this.checkOpen(conversation);
    const entry = this.#queue.add({ key: conversation, priority, value: operation });
    this.#pump();
    return entry;
  }

  /**
   * Takes a turn out that waits, and lets what the session was asked for after it go on.
   * @param end what ends the turn
   * @returns false: it waits no longer
   */
  removeTurn(entry: Waiting, end: () => void): boolean {
    if (!this.#queue.remove(entry)) return false;
    end();
    this.#pump();
    return true;
  }

  /** Runs `work` after what the session was asked for before, and before what it is asked for later. Needs no sequence. */
  async inOrder<T>(conversation: Conversation, work: () => Promise<T>): Promise<T> {
    this.checkOpen(conversation);
    return new Promise<T>((resolve, reject) => {
      const operation: Operation = {
        hasRoom: () => true,
        run: () => work().then(resolve, reject),
        refuse: reject,
      };
      this.#queue.add({ key: conversation, priority: 0, value: operation, unbounded: true });
      this.#pump();
    });
  }

  /**
   * Opens or removes the session of that id: one who does so at a time. A session's own operation must not wait here for its own id:
   * who removes a session waits for its operations.
   * @throws LlamaError MODEL_CLOSED
   */
  async exclusively<T>(id: string, work: () => Promise<T>): Promise<T> {
    return this.#moving.run(id, async () => {
      this.checkNotClosed();
      return work();
    });
  }

  /** Resolves when nobody opens or removes a session. */
  settled(): Promise<void> {
    return this.#moving.settled();
  }

  /** Whether a model of this store object has it open, or opens or removes it just now. */
  isOpenAnywhere(id: string): boolean {
    return this.#hosts().some((host) => host.open.has(id) || host.#moving.has(id));
  }

  /** Whether the store can tell what other processes have open. If not, what has expired may be in use there. */
  get knowsOwners(): boolean {
    return this.store.claim !== undefined;
  }

  /** Makes this store object the one that may write the session. Pair it with `release()`. @throws LlamaError SESSION_CONFLICT */
  async claim(id: string, takeOver: boolean): Promise<void> {
    await this.#sharing.claiming.run(id, async () => {
      await this.store.claim?.(id, takeOver);
      this.#claimed.add(id);
    });
  }

  /**
   * Lets go of a session that is not open here any more, unless another model of this store object has claimed it too: to the store
   * both are one. What can't be released now is later, or else lapses.
   */
  async release(id: string): Promise<void> {
    await this.#sharing.claiming.run(id, async () => {
      this.#claimed.delete(id);
      if (this.#hosts().some((host) => host.#claimed.has(id))) return;
      await this.store.release?.(id).catch(() => undefined);
    });
  }

  /** The models of this store object, this one among them. */
  #hosts(): Host[] {
    return this.#sharing.hosts.flatMap((host) => host.deref() ?? []);
  }

  /** @throws LlamaError MODEL_CLOSED */
  checkNotClosed(): void {
    if (this.closed) throw modelClosed();
  }

  /** @throws LlamaError MODEL_CLOSED, SESSION_CLOSED */
  checkOpen(conversation: Conversation): void {
    this.checkNotClosed();
    if (conversation.closed) throw sessionClosed(conversation.id);
  }

  /** Refuses all that waits. */
  refuseWaiting(error: Error): void {
    for (const entry of this.#queue) {
      if (this.#queue.remove(entry)) entry.value.refuse(error);
    }
  }

  /** Resolves when no operation runs. */
  async drain(): Promise<void> {
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => this.#awaitDrained.push(resolve));
  }

  #pump(): void {
    for (;;) {
      const entry = this.#queue.next(({ value }) => value.hasRoom());
      if (entry === undefined) return;
      this.#running++;
      void entry.value.run().then(() => {
        this.#running--;
        this.#queue.release(entry.key);
        if (this.#running === 0) for (const resolve of this.#awaitDrained.splice(0)) resolve();
        this.#pump();
      });
    }
  }
}

export function modelClosed(): LlamaError {
  return new LlamaError('MODEL_CLOSED', 'The model is closed; load it again.');
}

export function sessionClosed(id: string): LlamaError {
  return new LlamaError(
    'SESSION_CLOSED',
    `Session '${id}' is closed; open it again with resumeSession(), or create it if it has expired.`,
  );
}
