import { OneByOne } from '../onebyone.js';
import { codeOf } from './failure.js';
import type { Ledger } from './ledger.js';
import { beat, claim, leave, newOwner, release } from './owners.js';

const BEAT_MS = 10_000;

/** What one store object has claimed. */
export class Claims {
  readonly owner: string = newOwner();
  readonly #ledger: Ledger;
  readonly #held = new Set<string>();
  /** Let go of, but the index may still say otherwise. */
  readonly #left = new Set<string>();
  /** What is being done for a session. */
  readonly #doing = new OneByOne();
  #timer: NodeJS.Timeout | undefined;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** @throws LlamaError SESSION_CONFLICT */
  claim(id: string, takeOver: boolean): Promise<void> {
    return this.#doing.run(id, async () => {
      const held = this.#held.has(id);
      this.#held.add(id);
      try {
        await this.#ledger.change((draft) => {
          claim(draft, id, this.owner, takeOver);
        });
        this.#left.delete(id);
      } catch (error) {
        // What was held before is held still, unless somebody else has it now.
        if (!held || codeOf(error) === 'SESSION_CONFLICT') this.#held.delete(id);
        throw error;
      } finally {
        this.#beatOrRest();
      }
    });
  }

  /** What can't be released now is with the next heartbeat that can. */
  release(id: string): Promise<void> {
    return this.#doing.run(id, () => {
      if (this.#held.delete(id)) this.#left.add(id);
      return this.#letGo(id);
    });
  }

  /** Lets go of all. */
  async end(): Promise<void> {
    const ids = [...this.#held, ...this.#left];
    this.#held.clear();
    this.#left.clear();
    this.#beatOrRest();
    if (ids.length === 0) return;
    await this.#ledger.change((draft) => {
      for (const id of ids) release(draft, id, this.owner);
      leave(draft, this.owner);
    });
  }

  async #letGo(id: string): Promise<void> {
    if (!this.#left.has(id)) return;
    await this.#ledger.change((draft) => {
      release(draft, id, this.owner);
      if (this.#held.size === 0) leave(draft, this.owner);
    });
    this.#left.delete(id);
    this.#beatOrRest();
  }

  /** What isn't written is done by the next one, which may be in time. */
  #beat(): void {
    for (const id of this.#left) this.#doing.run(id, () => this.#letGo(id)).catch(() => undefined);
    if (this.#held.size === 0) return;
    this.#ledger
      .change((draft) => {
        beat(draft, this.owner);
      })
      .catch(() => undefined);
  }

  #beatOrRest(): void {
    if (this.#held.size + this.#left.size > 0) {
      this.#timer ??= setInterval(() => {
        this.#beat();
      }, BEAT_MS).unref();
    } else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}
