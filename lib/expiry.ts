import type { Conversation } from './conversation.js';
import type { Host } from './host.js';

/** Asked for at once. */
const SWEPT_AT_ONCE = 256;
/** When an idle session is told that it will expire: so long before, or this part of its ttl. */
const WARNING_MS = 60_000;
const WARNING_PART = 0.1;

/** How sessions are deleted. */
export interface Remover {
  /** One that is open here; tells its listeners how it went. */
  open(host: Host, conversation: Conversation): Promise<void>;
  /** One that the store keeps. */
  stored(host: Host, id: string): Promise<unknown>;
}

/** Whether the time of an idle session is over, or of a stored one. */
export function hasExpired({ expiresAt = Infinity }: { readonly expiresAt?: number | undefined }): boolean {
  return expiresAt <= Date.now();
}

/** Deletes a session whose `ttlMs` has passed while it was idle. Its listeners hear 'expiring' before. */
export function expireIdle(host: Host, conversation: Conversation, remove: Remover): void {
  const { expiresAt, settings, events } = conversation;
  if (expiresAt === undefined || conversation.state !== 'idle' || conversation.expiring) return;
  const left = expiresAt - Date.now();
  if (left <= 0) {
    conversation.expiring = true;
    remove
      .open(host, conversation)
      .catch((error: unknown) => {
        events.emit('error', error as Error);
      })
      .finally(() => (conversation.expiring = false));
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
  if (!host.knowsOwners) return;
  const seen = new Set<string>();
  let left = 0; // that can't be deleted: they come first again
  for (;;) {
    const ids = (await host.store.listExpired?.(Date.now(), left + SWEPT_AT_ONCE).catch(() => [])) ?? [];
    const found = ids.filter((id) => !seen.has(id));
    for (const id of found) {
      if (host.closed) return;
      seen.add(id);
      if (!(await sweepOne(host, remove, id))) left++;
    }
    if (found.length < SWEPT_AT_ONCE) return;
  }
}

/** @returns whether it has gone */
async function sweepOne(host: Host, remove: Remover, id: string): Promise<boolean> {
  if (host.isOpenAnywhere(id)) return false; // it ends by expireIdle()
  try {
    await host.exclusively(id, () => remove.stored(host, id));
    return true;
  } catch {
    return false;
  }
}
