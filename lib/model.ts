import { Conversation } from './conversation.js';
import type { LlamaError } from './errors.js';
import { openExport } from './exportfile.js';
import { modelClosed, type Host } from './host.js';
import { deleteExpired, deleteStored } from './keeping.js';
import { listSessions } from './listing.js';
import { checkUnstored, claimed, exists, imported, readStored, resumed, takeBack } from './opening.js';
import {
  checkId,
  checkImportOptions,
  checkResumeOptions,
  checkTokenizeOptions,
  resolveListFilter,
  resolveSessionOptions,
} from './options.js';
import { closeConversation, deleteConversation, expireConversation, Session } from './session.js';
import { checkTokens } from './tokens.js';
import type { ModelInfo, ModelStats, ResumeOptions, SessionFilter, SessionInfo, SessionOptions } from './types.js';
import { keepUp } from './upkeep.js';

/** Weights, vocabulary and the engine that runs them; hosts the sessions. Made by `loadModel()`. */
export class Model implements AsyncDisposable {
  /** What is loaded. */
  readonly info: ModelInfo;
  readonly #host: Host;
  readonly #closeStore: () => Promise<void>;
  /** Of the sessions that are open. Weak: a session whose handle is dropped is closed. */
  readonly #handles = new Map<string, WeakRef<Session>>();
  /** Told weakly which conversation it was of: listeners of that may refer to the handle. */
  readonly #dropped = new FinalizationRegistry<{ id: string; conversation: WeakRef<Conversation> }>(
    ({ id, conversation }) => void this.#onDropped(id, conversation.deref()),
  );
  readonly #stopUpkeep: () => void;
  #closing: Promise<void> | undefined;
  /** @internal Settles when `close()` is called, with what who waits for something is to be told. */
  readonly closed: Promise<LlamaError>;
  #onClosed: (error: LlamaError) => void = () => undefined;

  /** @internal */
  constructor(host: Host, info: ModelInfo, closeStore: () => Promise<void>) {
    this.#host = host;
    this.info = info;
    this.closed = new Promise((resolve) => (this.#onClosed = resolve));
    this.#closeStore = closeStore;
    this.#stopUpkeep = keepUp(host, { open: expireConversation, stored: deleteExpired });
  }

  /**
   * A new session. It costs some kilobytes until it speaks; it is in the store from its first turn, `save()` or `close()` on.
   * @throws TypeError, RangeError; LlamaError SESSION_EXISTS, SESSION_CONFLICT (another process has one of that id open),
   * STORE_FAILED, MODEL_CLOSED
   */
  async createSession(options?: SessionOptions): Promise<Session> {
    this.#host.checkNotClosed();
    const resolved = resolveSessionOptions(options);
    return this.#openAs(resolved.id, async () => {
      if (options?.id !== undefined) await checkUnstored(this.#host, resolved.id);
      return new Conversation(resolved);
    });
  }

  /**
   * Opens a session that the store keeps; the one that is open in this process, if there is one. Its first turn restores the KV
   * that was saved with it.
   * @param options replace what was stored, and are stored with the next turn, `save()` or `close()`
   * @throws LlamaError SESSION_NOT_FOUND, SESSION_CONFLICT (another process has it open), SNAPSHOT_CORRUPT, SNAPSHOT_MISMATCH, KEY_NOT_FOUND,
   * STORE_FAILED, MODEL_CLOSED
   */
  async resumeSession(id: string, options?: ResumeOptions): Promise<Session> {
    this.#host.checkNotClosed();
    checkId(id);
    checkResumeOptions(options);
    const takeOver = options?.takeOver === true;
    return this.#host.exclusively(id, async () => {
      const open = this.#host.open.get(id);
      if (open !== undefined) {
        const usable = !takeOver || (await takeBack(this.#host, open));
        if (usable && !open.closed) {
          open.reconfigure(options);
          return this.#handle(open);
        }
        await closeConversation(this.#host, open).catch(() => undefined);
      }
      // Nobody loses a claim to somebody who can't have the session.
      if (takeOver) await readStored(this.#host, id, options);
      return this.#open(id, () => resumed(this.#host, id, options), takeOver);
    });
  }

  /** The session of that id that is open in this process. */
  getSession(id: string): Session | undefined {
    checkId(id);
    const open = this.#host.open.get(id);
    return open === undefined || open.closed ? undefined : this.#handle(open);
  }

  /** Sessions in order of their ids, open or stored; expired ones are left out. @throws LlamaError STORE_FAILED, MODEL_CLOSED */
  listSessions(filter?: SessionFilter): AsyncIterable<SessionInfo> {
    this.#host.checkNotClosed();
    return listSessions(this.#host, resolveListFilter(filter));
  }

  /**
   * Open or stored. Where another process has it open, that one's next turn rejects with SESSION_CONFLICT.
   * @returns true when something was deleted
   * @throws LlamaError STORE_FAILED, MODEL_CLOSED
   */
  async deleteSession(id: string): Promise<boolean> {
    this.#host.checkNotClosed();
    checkId(id);
    return this.#host.exclusively(id, async () => {
      const open = this.#host.open.get(id);
      if (open === undefined || open.closed) {
        await open?.closing?.catch(() => undefined);
        return deleteStored(this.#host, id);
      }
      await deleteConversation(this.#host, open);
      return true;
    });
  }

  /**
   * The session in a file that `Session.export()` wrote, of this model or another: what does not fit this model is computed
   * again. It is in the store on return; its `ttlMs` begins anew.
   * @param options `id`: instead of its own; `replace`: in place of the session of that id, if there is one
   * @throws LlamaError SESSION_NOT_FOUND (no such file), SNAPSHOT_CORRUPT, SNAPSHOT_MISMATCH, SESSION_EXISTS, SESSION_CONFLICT
   * (another process has the one to replace open), STORE_FAILED; nothing was replaced then
   */
  async importSession(path: string, options?: { id?: string; replace?: boolean }): Promise<Session> {
    this.#host.checkNotClosed();
    checkImportOptions(path, options);
    const file = await openExport(path);
    try {
      const id = options?.id ?? file.record.id;
      if (options?.replace !== true) return await this.#openAs(id, () => imported(this.#host, id, file, false));
      return await this.#host.exclusively(id, async () => {
        const open = this.#host.open.get(id);
        if (open !== undefined) await closeConversation(this.#host, open);
        return this.#open(id, () => imported(this.#host, id, file, true));
      });
    } finally {
      await file.close();
    }
  }

  /**
   * Runs on the calling thread: a megabyte of text takes about 0.1 s. Turns tokenise on another one.
   * @param options `addSpecial`: begin and end tokens where the model wants them; `parseSpecial`: control tokens written in the
   * text become tokens. Default: neither
   */
  tokenize(text: string, options?: { addSpecial?: boolean; parseSpecial?: boolean }): Int32Array {
    this.#host.checkNotClosed();
    const { addSpecial, parseSpecial } = checkTokenizeOptions(text, options);
    return this.#host.engine.tokenize(text, addSpecial, parseSpecial);
  }

  /** Control tokens are left out; bytes that are no UTF-8 become U+FFFD. @throws RangeError for what is no token */
  detokenize(tokens: ArrayLike<number>): string {
    this.#host.checkNotClosed();
    return this.#host.engine.detokenize(checkTokens(tokens, this.info.vocabularySize), false);
  }

  /** What the counters mean is in docs/stats.md. After `close()`: the last ones of the layer above the engine. */
  stats(): ModelStats {
    const { engine, residency, counters, open, queuedTurns, store } = this.#host;
    return {
      ...engine.stats(),
      ...residency.counters,
      ...residency.tiers.counters,
      ...store.stats?.(),
      ...counters,
      openSessions: open.size,
      residentSessions: residency.residentCount,
      queuedTurns,
      ramKvBytes: residency.tiers.ramBytes,
    };
  }

  /**
   * Ends every turn (MODEL_CLOSED; what was said so far is kept), writes what is not stored yet, ends the engine and frees the
   * model. Idempotent. After it no promise is pending.
   * @throws LlamaError STORE_FAILED, SESSION_CONFLICT (another process has gone on with a session): of the first session that could
   * not be written; everything has ended all the same
   */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      // Set before it begins: listeners hear of it on the way, and may close it too.
      let begun: (ended: Promise<void>) => void = () => undefined;
      this.#closing = new Promise<void>((resolve) => (begun = resolve));
      begun(this.#close());
    }
    return this.#closing;
  }

  /** `close()` */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const host = this.#host;
    host.closed = true;
    this.#onClosed(modelClosed());
    this.#stopUpkeep();
    host.refuseWaiting(modelClosed());
    for (const conversation of host.open.values()) {
      for (const turn of [...conversation.generations]) turn.stop(modelClosed());
    }
    await host.settled();
    await host.drain();
    // Those that were being closed already are waited for as well: nobody writes to a store that is closed.
    const closed = await Promise.allSettled(
      [...host.open.values()].map((conversation) => closeConversation(host, conversation)),
    );
    await host.engine.close();
    await host.residency.tiers.written();
    await this.#closeStore();
    for (const result of closed) if (result.status === 'rejected') throw result.reason as Error;
  }

  /** Lets `make` produce the session of that id, unless there is one. */
  async #openAs(id: string, make: () => Promise<Conversation>): Promise<Session> {
    // Now, as who closes the other one may wait for who asks.
    if (this.#host.open.has(id)) throw exists(id);
    return this.#host.exclusively(id, () => {
      if (this.#host.open.has(id)) throw exists(id);
      return this.#open(id, make);
    });
  }

  /** @param takeOver although another process has it open */
  async #open(id: string, make: () => Promise<Conversation>, takeOver: boolean = false): Promise<Session> {
    const conversation = await claimed(this.#host, id, make, takeOver);
    const { kv, events } = conversation;
    this.#host.open.set(id, conversation);
    kv.onParked = () => {
      events.emit('parked', { tier: this.#host.residency.tierOf(kv) });
    };
    conversation.onOvertaken = () => void closeConversation(this.#host, conversation).catch(() => undefined);
    return this.#handle(conversation);
  }

  #handle(conversation: Conversation): Session {
    const known = this.#handles.get(conversation.id)?.deref();
    if (known !== undefined && known.state !== 'closed') return known;
    const session = new Session(this.#host, conversation, (as, make) => this.#openAs(as, make));
    this.#handles.set(conversation.id, new WeakRef(session));
    this.#dropped.register(session, { id: conversation.id, conversation: new WeakRef(conversation) });
    return session;
  }

  /** Nobody can reach the session any more but by its id: it makes room, after what it was asked for. */
  async #onDropped(id: string, conversation: Conversation | undefined): Promise<void> {
    const isHeld = (): boolean =>
      this.#handles.get(id)?.deref() !== undefined && this.#host.open.get(id) === conversation;
    if (isHeld()) return; // getSession() has made a new handle
    try {
      if (conversation === undefined) return; // closed long ago
      await this.#host.inOrder(conversation, () => Promise.resolve());
      if (!isHeld() && conversation.generations.size === 0) await closeConversation(this.#host, conversation);
    } catch {
      // It was closed meanwhile, or could not be written: its 'error' listeners are gone with its handle.
    } finally {
      if (!isHeld() && this.#handles.get(id)?.deref() === undefined) this.#handles.delete(id);
    }
  }
}
