import type { Conversation } from './conversation.js';
import type { Host } from './host.js';

const EVERY_MS = 1000;

/**
 * Deletes sessions whose `ttlMs` has passed while they were idle, after an 'expired' event. Stored sessions that are not open
 * are deleted when somebody asks for them.
 * @returns a function that ends it
 */
export function expireIdleSessions(
  host: Host,
  remove: (host: Host, conversation: Conversation) => Promise<unknown>,
): () => void {
  // Weak and unref'd: a timer must keep neither a dropped model nor the process.
  const weak = new WeakRef(host);
  const timer = setInterval(() => {
    const alive = weak.deref();
    if (alive === undefined) {
      clearInterval(timer);
      return;
    }
    for (const conversation of alive.open.values()) {
      if (conversation.state !== 'idle' || (conversation.expiresAt ?? Infinity) > Date.now()) continue;
      conversation.events.emit('expired', {});
      remove(alive, conversation).catch((error: unknown) => {
        conversation.events.emit('error', error as Error);
      });
    }
  }, EVERY_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}
