import type { Conversation } from './conversation.js';
import type { Host } from './host.js';

/** Deleted in one sweep at most; the others are found by the next. */
const SWEPT_AT_ONCE = 256;
/** When an idle session is told that it will expire: so long before, or this part of its ttl. */
const WARNING_MS = 60_000;
const WARNING_PART = 0.1;

/** How sessions are deleted: one that is open here, and one that the store keeps. */
export interface Remover {
  open(host: Host, conversation: Conversation): Promise<unknown>;
  stored(host: Host, id: string): Promise<unknown>;
}

/** Deletes a session whose `ttlMs` has passed while it was idle, after an 'expiring' and an 'expired' event. */
export function expireIdle(host: Host, conversation: Conversation, remove: Remover): void {
  const { expiresAt, settings, events } = conversation;
  if (expiresAt === undefined || conversation.state !== 'idle') return;
  const left = expiresAt - Date.now();
  if (left <= 0) {
    events.emit('expired', {});
    remove.open(host, conversation).catch((error: unknown) => {
      events.emit('error', error as Error);
    });
  } else if (
    left <= Math.min(WARNING_MS, (settings.ttlMs ?? 0) * WARNING_PART) &&
    conversation.warnedOf !== expiresAt
  ) {
    conversation.warnedOf = expiresAt;
    events.emit('expiring', { expiresAt: new Date(expiresAt) });
  }
}

/** Deletes sessions that the store keeps past their time. What can't be deleted now is found again by the next sweep. */
export async function sweepExpired(host: Host, remove: Remover): Promise<void> {
  const ids = (await host.store.listExpired?.(Date.now(), SWEPT_AT_ONCE).catch(() => [])) ?? [];
  for (const id of ids) {
    // What is open here, or about to be, ends by expireIdle().
    if (host.closed || host.open.has(id) || host.opening.has(id)) continue;
    const removing = remove.stored(host, id).catch(() => undefined);
    host.opening.set(id, removing);
    await removing;
    host.opening.delete(id);
  }
}
