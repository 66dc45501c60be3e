import { expireIdle, sweepExpired, type Remover } from './expiry.js';
import type { Host } from './host.js';

const EVERY_MS = 1000;
/** Between two looks at what the store keeps. */
const SWEEP_EVERY_MS = 60_000;
/** A session that has been idle for so long is copied to the store, so that little is lost if the process ends. */
const SETTLE_MS = 1000;

/**
 * What is done for a model's sessions without being asked: those whose time is over expire; the KV of idle ones is written
 * behind, and leaves the device after a while.
 * @returns a function that ends it
 */
export function keepUp(host: Host, remove: Remover): () => void {
  // Weak and unref'd: a timer must keep neither a dropped model nor the process.
  const weak = new WeakRef(host);
  let sweptAt = performance.now();
  const timer = setInterval(() => {
    const alive = weak.deref();
    if (alive === undefined) {
      clearInterval(timer);
      return;
    }
    const now = performance.now();
    for (const conversation of alive.open.values()) expireIdle(alive, conversation, remove);
    if (alive.residency.tiers.keepsPages) alive.residency.settle(now - SETTLE_MS);
    alive.residency.parkIdle(now - alive.idleMs);
    if (now - sweptAt < SWEEP_EVERY_MS) return;
    sweptAt = now;
    sweepExpired(alive, remove).catch(() => undefined); // the next one looks again
  }, EVERY_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}
