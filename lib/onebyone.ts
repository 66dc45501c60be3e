/** Work on one key waits for what was begun on it before, however that ends; work on different keys runs side by side. */
export class OneByOne {
  /** The last of each key. */
  readonly #last = new Map<string, Promise<unknown>>();

  /** Whether something runs or waits. */
  has(key: string): boolean {
    return this.#last.has(key);
  }

  /** Begins at once if nothing else is there. The work must not wait for more of the same key: that waits for it. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const done = this.#last.get(key)?.then(work, work) ?? work();
    this.#last.set(key, done);
    try {
      return await done;
    } finally {
      if (this.#last.get(key) === done) this.#last.delete(key);
    }
  }

  /** Resolves when nothing runs or waits. */
  async settled(): Promise<void> {
    while (this.#last.size > 0) await Promise.allSettled(this.#last.values());
  }
}
