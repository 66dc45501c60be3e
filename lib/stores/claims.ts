import type { Ledger } from './ledger.js';
import { beat, claim, leave, newOwner, release } from './owners.js';

const BEAT_MS = 10_000;

/** What one store object has claimed. */
export class Claims {
  readonly owner: string = newOwner();
  readonly #ledger: Ledger;
  readonly #ids = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** @throws LlamaError SESSION_CONFLICT */
  async claim(id: string, takeOver: boolean): Promise<void> {
    this.#ids.add(id);
    try {
      await this.#ledger.change((draft) => {
        claim(draft, id, this.owner, takeOver);
      });
    } catch (error) {
      this.#ids.delete(id);
      throw error;
    }
    this.#timer ??= setInterval(() => {
      // One that is not written is one missed: the next may be in time.
      this.#beat().catch(() => undefined);
    }, BEAT_MS).unref();
  }

  async release(id: string): Promise<void> {
    if (!this.#ids.delete(id)) return;
    await this.#ledger.change((draft) => {
      release(draft, id, this.owner);
      if (this.#ids.size === 0) leave(draft, this.owner);
    });
    if (this.#ids.size === 0) this.#rest();
  }

  /** Lets go of all. */
  async end(): Promise<void> {
    this.#rest();
    if (this.#ids.size === 0) return;
    const ids = [...this.#ids];
    this.#ids.clear();
    await this.#ledger.change((draft) => {
      for (const id of ids) release(draft, id, this.owner);
      leave(draft, this.owner);
    });
  }

  #beat(): Promise<void> {
    return this.#ledger.change((draft) => {
      beat(draft, this.owner);
    });
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
