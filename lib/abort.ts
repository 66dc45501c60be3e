import { tell } from './emitter.js';

/** Who listens to a signal, and the one listener that tells them. */
interface Watch {
  readonly listeners: Set<() => void>;
  readonly tellAll: () => void;
}

const watches = new WeakMap<AbortSignal, Watch>();

/**
 * Calls `listener` when the signal is aborted. One signal may be that of any number of turns, and Node warns of a leak at the eleventh
 * listener: so all of ours are one.
 * @returns a function that takes the listener away again
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  const watch = watches.get(signal) ?? watchOf(signal);
  watch.listeners.add(listener);
  return () => {
    watch.listeners.delete(listener);
    if (watch.listeners.size > 0 || watches.get(signal) !== watch) return;
    watches.delete(signal);
    signal.removeEventListener('abort', watch.tellAll);
  };
}

function watchOf(signal: AbortSignal): Watch {
  const listeners = new Set<() => void>();
  const tellAll = (): void => {
    // Who leaves meanwhile is not told.
    for (const listener of listeners) tell(listener, undefined);
  };
  const watch = { listeners, tellAll };
  watches.set(signal, watch);
  signal.addEventListener('abort', tellAll, { once: true });
  return watch;
}
