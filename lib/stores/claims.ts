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

  /**
   * Says that the owner lives.
   * @param ids all that it has claimed
   * @param isHeld whether that still holds for one, to be asked before it is sent
   * @returns those that somebody else has taken over
   */
  beat(ids: readonly string[], isHeld: (id: string) => boolean): Promise<readonly string[]>;
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
  #beating: Promise<void> | undefined;

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
    await this.#beating;
    if (ids.length > 0) await this.#table.release(ids, () => true);
  }

  async #letGo(id: string): Promise<void> {
    await this.#beating; // or it would be claimed again
    if (!this.#left.has(id)) return;
    await this.#release([id]);
  }

  async #release(ids: readonly string[]): Promise<void> {
    await this.#table.release(ids, () => this.#held.size === 0);
    for (const id of ids) this.#left.delete(id);
    this.#beatOrRest();
  }

  /** What isn't written is done by the next one, which may be in time. */
  #beat(): void {
    this.#beating ??= this.#releaseLeft()
      .catch(() => undefined)
      .then(() => this.#sayThatItLives())
      .catch(() => undefined)
      .finally(() => {
        this.#beating = undefined;
      });
  }

  async #releaseLeft(): Promise<void> {
    const ids = [...this.#left].filter((id) => !this.#doing.has(id));
    if (ids.length === 0) return;
    const released = this.#release(ids);
    await Promise.all(ids.map((id) => this.#doing.run(id, () => released)));
  }

  async #sayThatItLives(): Promise<void> {
    // What is being claimed or let go of just now says so itself.
    const isHeld = (id: string): boolean => this.#held.has(id) && !this.#doing.has(id);
    const ids = [...this.#held].filter(isHeld);
    if (ids.length === 0) return;
    for (const lost of await this.#table.beat(ids, isHeld)) {
      if (isHeld(lost)) this.#held.delete(lost);
    }
    this.#beatOrRest();
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
