import { Pieces } from './pieces.js';
import type { Piece, Reply } from './types.js';

/**
 * One reply in the making: iterate it once for pieces, await it for the reply as often as you like, or both.
 *
 * - `break` out of the loop cancels the turn quietly, like `cancel()`: the reply resolves with what there is.
 * - A turn that fails throws from the loop, after the pieces that came before, and rejects what awaits it.
 * - A failed turn that nobody awaits or iterates raises no unhandled rejection: the session's 'error' event reports it, and
 *   a turn sent for its effect on the conversation must not end the process.
 * - Pieces are kept until they are iterated; `maxTokens` bounds how many there can be.
 *
 * A Turn is thenable: an `async` function that returns one returns its reply instead.
 */
export class Turn implements AsyncIterable<Piece>, PromiseLike<Reply> {
  readonly #pieces: Pieces;
  readonly #reply: Promise<Reply>;
  readonly #cancel: () => void;
  #iterated = false;

  /** Made by `TurnSource`, not by users. */
  constructor(pieces: Pieces, reply: Promise<Reply>, cancel: () => void) {
    this.#pieces = pieces;
    this.#reply = reply;
    this.#cancel = cancel;
  }

  /** Ends the turn quietly: it resolves with what there is, finishReason 'cancelled'. No effect on one that has ended. */
  cancel(): void {
    this.#cancel();
  }

  /** The pieces as they come. @throws TypeError the second time: pieces are handed out once */
  [Symbol.asyncIterator](): AsyncIterator<Piece, undefined> {
    if (this.#iterated) {
      throw new TypeError(
        'A turn can be iterated once, and this one has been; await it for the whole text, or keep the pieces.',
      );
    }
    this.#iterated = true;
    return {
      next: () => this.#pieces.take(),
      return: () => {
        this.#pieces.abandon();
        this.#cancel();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  /**
   * The pieces as a web stream; counts as the one iteration. It takes a piece when one is read, not before. Cancelling the
   * stream cancels the turn.
   * @throws TypeError when the turn has been iterated
   */
  toReadableStream(): ReadableStream<Piece> {
    const iterator = this[Symbol.asyncIterator]();
    return new ReadableStream<Piece>(
      {
        async pull(controller) {
          const result = await iterator.next();
          if (result.done === true) controller.close();
          else controller.enqueue(result.value);
        },
        async cancel() {
          await iterator.return?.();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** The reply, as `await` uses it. */
  then<A = Reply, B = never>(
    onReply?: ((reply: Reply) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#reply.then(onReply, onError);
  }

  /** As of a promise of the reply. */
  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<Reply | B> {
    return this.#reply.catch(onError);
  }

  /** As of a promise of the reply. */
  finally(onEnd?: (() => void) | null): Promise<Reply> {
    return this.#reply.finally(onEnd);
  }
}

/** The producer's side of a turn; whoever runs the turn owns it. What comes after the end is ignored. */
export class TurnSource {
  /** What the user gets. */
  readonly turn: Turn;
  readonly #pieces = new Pieces();
  readonly #settle: { resolve: (reply: Reply) => void; reject: (error: unknown) => void };
  #ended = false;

  /** @param cancel called at most once, when the user cancels a turn that has not ended; the owner then ends it */
  constructor(cancel: () => void) {
    let settle = { resolve: (_: Reply): void => undefined, reject: (_: unknown): void => undefined };
    const reply = new Promise<Reply>((resolve, reject) => (settle = { resolve, reject }));
    this.#settle = settle;
    // Marks it as handled; promises derived by then() still report a rejection that nobody handles.
    reply.catch(() => undefined);
    let cancelled = false;
    this.turn = new Turn(this.#pieces, reply, () => {
      if (this.#ended || cancelled) return;
      cancelled = true;
      cancel();
    });
  }

  /** True after resolve() or reject(). */
  get ended(): boolean {
    return this.#ended;
  }

  /** Adds a piece. */
  push(piece: Piece): void {
    if (!this.#ended) this.#pieces.push(piece);
  }

  /** Ends the turn: the loop ends after the last piece. */
  resolve(reply: Reply): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#pieces.end();
    this.#settle.resolve(reply);
  }

  /** Ends the turn: the loop throws after the last piece. */
  reject(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#pieces.end(error);
    this.#settle.reject(error);
  }
}
