import type { Piece } from './types.js';

type Result = IteratorResult<Piece, undefined>;
type Taker = (result: Result | Promise<Result>) => void;

const DONE: Result = { done: true, value: undefined };

/** Pieces between who makes them and who takes them. Either pieces wait or takers do, never both. Pieces are never merged. */
export class Pieces {
  /** From #first on; the places before it are spent. Emptied as soon as all are taken, so each costs O(1). */
  #waiting: Piece[] = [];
  #first = 0;
  #takers: Taker[] = [];
  #ended = false;
  #failure: { error: unknown } | undefined;
  #abandoned = false;

  push(piece: Piece): void {
    const taker = this.#takers.shift();
    if (taker !== undefined) taker({ done: false, value: piece });
    else if (!this.#abandoned) this.#waiting.push(piece);
  }

  /** No more will come. @param error what the taker after the last piece gets, once */
  end(error?: unknown): void {
    this.#ended = true;
    if (error !== undefined) this.#failure = { error };
    for (const taker of this.#takers.splice(0)) taker(this.take());
  }

  /** The next piece, as soon as there is one. */
  take(): Promise<Result> {
    const piece = this.#waiting[this.#first];
    if (piece !== undefined) {
      if (++this.#first === this.#waiting.length) this.#clear();
      return Promise.resolve({ done: false, value: piece });
    }
    if (this.#failure !== undefined && !this.#abandoned) {
      const { error } = this.#failure;
      this.#failure = undefined;
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- passed on as it came
      return Promise.reject(error);
    }
    if (this.#ended || this.#abandoned) return Promise.resolve(DONE);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** Nobody will take what is here or comes. */
  abandon(): void {
    this.#abandoned = true;
    this.#clear();
    for (const taker of this.#takers.splice(0)) taker(DONE);
  }

  #clear(): void {
    this.#waiting = [];
    this.#first = 0;
  }
}
