import { OneByOne } from '../onebyone.js';
import { codeOf } from './failure.js';

/** How often who has claimed something says that he lives. */
const BEAT_MS = 10_000;
/** Silence after which an owner whose end nobody can see is dead: he was heard twice in it. */
export const SILENCE_MS = 30_000;

/** Where a store keeps what its owner has claimed. */
export interface ClaimTable {
  /** @throws LlamaError SESSION_CONFLICT */
  claim(id: string, takeOver: boolean): Promise<void>;

  /**
   * Has no effect on what somebody else has taken over.
   * @param isLast asked when it is written: whether nothing else is claimed
   */
  release(ids: readonly string[], isLast: () => boolean): Promise<void>;

  /** Says that the owner lives. @param ids all that it has claimed */
  beat(ids: readonly string[]): Promise<void>;
}

/** What one store object has claimed. */
export class Claims {
  readonly #table: ClaimTable;
  readonly #held = new Set<string>();
  /** Let go of, but the table may still say otherwise. */
  readonly #left = new Set<string>();
  /** What is being done for a session. */
  readonly #doing = new OneByOne();
  #timer: NodeJS.Timeout | undefined;

  constructor(table: ClaimTable) {
    this.#table = table;
  }

  /** @throws LlamaError SESSION_CONFLICT */
  claim(id: string, takeOver: boolean): Promise<void> {
    return this.#doing.run(id, async () => {
      const held = this.#held.has(id);
      this.#held.add(id);
      try {
        await this.#table.claim(id, takeOver);
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
    if (ids.length > 0) await this.#table.release(ids, () => true);
  }

  async #letGo(id: string): Promise<void> {
    if (!this.#left.has(id)) return;
    await this.#table.release([id], () => this.#held.size === 0);
    this.#left.delete(id);
    this.#beatOrRest();
  }

  /** What isn't written is done by the next one, which may be in time. */
  #beat(): void {
    for (const id of this.#left) this.#doing.run(id, () => this.#letGo(id)).catch(() => undefined);
    if (this.#held.size > 0) this.#table.beat([...this.#held]).catch(() => undefined);
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
