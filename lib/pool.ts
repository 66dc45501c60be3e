import { onAbort } from './abort.js';
import { integer, options, refusal, type Shape } from './checks.js';
import { AbortError, LlamaError } from './errors.js';
import type { Model } from './model.js';
import { resolveSessionOptions } from './options.js';
import type { Session } from './session.js';
import { poolSessionCheck, signalCheck } from './shapes.js';
import type { SessionOptions } from './types.js';

/** How a pool is made. */
export interface SessionPoolOptions {
  /** Sessions that may be out at the same time, 1 to 65536. */
  size: number;
  /** What each begins with. Default: nothing. */
  session?: Omit<SessionOptions, 'id'>;
}

/** How long to wait for a session. */
export interface AcquireOptions {
  /** Milliseconds, 1 to 2147483647; it rejects with TIMEOUT after them. Default: no limit. */
  timeoutMs?: number;
  /** Aborting rejects with an `AbortError`. */
  signal?: AbortSignal;
}

interface Waiter {
  resolve(session: Session): void;
  reject(error: Error): void;
}

const POOL: Shape<SessionPoolOptions> = { size: integer(1, 65_536), session: poolSessionCheck };
const ACQUIRE: Shape<AcquireOptions> = { timeoutMs: integer(1, 2 ** 31 - 1), signal: signalCheck };

/**
 * Sessions for work that needs one for a while and not its history afterwards: at most `size` are out at a time, who comes later
 * waits, first come, first served. Each is a new one, and deleted when it is given back: nothing of what was said reaches the
 * next. What all begin with is in the KV cache, as long as one of them has it.
 */
export class SessionPool implements AsyncDisposable {
  readonly #model: Model;
  readonly #options: SessionPoolOptions;
  readonly #out = new Set<Session>();
  readonly #waiting = new Set<Waiter>();
  /** Being made, or being deleted. */
  #pending = 0;
  /** Being made. */
  #making = 0;
  /** What who comes is told: the pool or its model is closed. */
  #closed: LlamaError | undefined;

  /** @throws TypeError, RangeError */
  constructor(model: Model, given: SessionPoolOptions) {
    if (typeof (model as Partial<Model> | undefined)?.createSession !== 'function')
      throw new TypeError(refusal('model', 'a Model', model));
    options(POOL)('options', given);
    integer(1, 65_536)('options.size', given.size);
    resolveSessionOptions(given.session); // what no session could have is refused now
    this.#model = model;
    this.#options = { ...given };
    // Weak: a pool that is dropped goes before its model does.
    const weak = new WeakRef(this);
    void model.closed.then((error) => {
      const pool = weak.deref();
      if (pool !== undefined) pool.#end(error);
    });
  }

  /** Sessions that are out, and callers that wait for one. */
  get counts(): { out: number; waiting: number } {
    return { out: this.#out.size, waiting: this.#waiting.size };
  }

  /** Waits for a session. Give it back. @throws TypeError, RangeError; AbortError; LlamaError TIMEOUT, SESSION_CLOSED, MODEL_CLOSED */
  async acquire(given: AcquireOptions = {}): Promise<Session> {
    options(ACQUIRE)('options', given);
    const { signal, timeoutMs } = given;
    if (signal?.aborted === true) throw new AbortError('', signal.reason);
    if (this.#closed !== undefined) throw this.#closed;
    return new Promise<Session>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiter);
        clearTimeout(timer);
        unlisten();
      };
      const waiter: Waiter = {
        resolve: (session) => {
          leave();
          resolve(session);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const unlisten = onAbort(signal, () => {
        waiter.reject(new AbortError('', signal?.reason));
      });
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              waiter.reject(
                new LlamaError('TIMEOUT', `No session of the pool was given back within ${String(timeoutMs)} ms.`),
              );
            }, timeoutMs);
      this.#waiting.add(waiter);
      this.#serve();
    });
  }

  /**
   * Takes a session back and deletes it; a turn that runs is ended.
   * @throws TypeError when it is not out; LlamaError STORE_FAILED, MODEL_CLOSED: its place is free all the same
   */
  async release(session: Session): Promise<void> {
    if (!this.#out.delete(session)) throw new TypeError('session must be one that this pool has given out, once');
    this.#pending++;
    try {
      await this.#model.deleteSession(session.id);
    } finally {
      this.#pending--;
      this.#serve();
    }
  }

  /** Refuses who waits; the sessions that are out stay until they are given back. Idempotent. */
  close(): Promise<void> {
    this.#end(new LlamaError('SESSION_CLOSED', 'The pool is closed; make another one.'));
    return Promise.resolve();
  }

  /** `close()` */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Refuses who waits, and who comes. */
  #end(error: LlamaError): void {
    this.#closed ??= error;
    for (const waiter of this.#waiting) waiter.reject(error);
  }

  #serve(): void {
    while (this.#making < this.#waiting.size && this.#out.size + this.#pending < this.#options.size) void this.#make();
  }

  async #make(): Promise<void> {
    this.#pending++;
    this.#making++;
    try {
      const session = await this.#model.createSession(this.#options.session);
      const [first] = this.#waiting;
      if (first === undefined) {
        await session.delete().catch(() => undefined); // who waited has left
      } else {
        this.#out.add(session);
        first.resolve(session);
      }
    } catch (error) {
      const [first] = this.#waiting;
      first?.reject(error as Error);
    } finally {
      this.#pending--;
      this.#making--;
      this.#serve();
    }
  }
}
