/** Half of the second that 'everysec' promises; the other half is for the work itself. */
const DELAY_MS = 500;

/**
 * Work that may wait a moment: the fsyncs of durability 'everysec'. Work of the same key is done once, in its last form. What
 * fails is reported once, by the next `check()` or `finish()`: an fsync that failed must not be repeated, as the system has
 * forgotten what it could not write.
 */
export class Later {
  #due = new Map<string, () => Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  /** Settles when all work that was begun has ended; never rejects. */
  #begun: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | undefined;

  /** Does the work within a second. The timer keeps no process alive: what it waits for has left the process already. */
  add(key: string, work: () => Promise<void>): void {
    this.#due.set(key, work);
    this.#timer ??= setTimeout(() => {
      this.#begin();
    }, DELAY_MS).unref();
  }

  /** @throws what failed since the last time */
  check(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  /** Does what is due now. @throws what failed since the last time */
  async finish(): Promise<void> {
    this.#begin();
    await this.#begun;
    this.check();
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const works = [...this.#due.values()];
    this.#due.clear();
    this.#begun = this.#begun.then(async () => {
      for (const work of works) {
        try {
          await work();
        } catch (error) {
          this.#failure ??= { error };
        }
      }
    });
  }
}
