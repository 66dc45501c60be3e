import { LlamaError } from '../errors.js';

/** What a store is asked for: nothing more once it is closed. */
export class Calls {
  readonly #store: string;
  readonly #calls = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  /** @param store as in 'The store in /data is closed' */
  constructor(store: string) {
    this.#store = store;
  }

  /** @throws LlamaError STORE_FAILED once it is closed */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) {
      throw new LlamaError('STORE_FAILED', `${this.#store} is closed; open another one to go on.`);
    }
    const call = work();
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Waits for what is in progress. Idempotent. @param end the rest of closing */
  close(end: () => Promise<void>): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#calls).then(end);
    return this.#closed;
  }
}
