import { types } from 'node:util';
import { warnOf } from './errors.js';

/** Calls a listener. What it throws, at once or later, disturbs nobody: Node prints a warning. */
export function tell<T>(listener: (payload: T) => unknown, payload: T): void {
  try {
    const answer = listener(payload);
    if (types.isPromise(answer)) answer.catch(warnOf);
  } catch (error) {
    warnOf(error);
  }
}

/** Listeners by event. One that throws disturbs neither the session nor the other listeners: Node prints a warning. */
export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(payload: never) => void>>();

  /** @returns a function that takes the listener away again */
  on<E extends keyof Events>(event: E, listener: (payload: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  emit<E extends keyof Events>(event: E, payload: Events[E]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      tell(listener as (payload: Events[E]) => unknown, payload);
    }
  }
}
