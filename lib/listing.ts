import type { Conversation } from './conversation.js';
import { hasExpired } from './expiry.js';
import type { Host } from './host.js';
import { infoOf, sessionInfo } from './info.js';
import type { ListedRecord } from './stores/store.js';
import type { SessionFilter, SessionInfo } from './types.js';

/** Sessions in order of their ids: those that the store keeps, and those that are open and not stored yet. */
export async function* listSessions(host: Host, filter: SessionFilter): AsyncGenerator<SessionInfo> {
  const { prefix = '', cursor, limit = Infinity, state } = filter;
  let left = limit;
  try {
    host.checkNotClosed();
    // Only what is open has another state.
    const sessions =
      state === undefined || state === 'closed'
        ? allSessions(host, prefix, cursor)
        : openSessions(host, prefix, cursor);
    for await (const info of sessions) {
      host.checkNotClosed();
      if (left <= 0) return;
      if (state !== undefined && state !== stateOf(host, info.id)) continue;
      left--;
      yield info;
    }
  } catch (error) {
    host.checkNotClosed(); // what a store says that was closed with the model matters less
    throw error;
  }
}

function* openSessions(host: Host, prefix: string, cursor: string | undefined): Generator<SessionInfo> {
  for (const conversation of openOnes(host, prefix, cursor)) yield openInfo(host, conversation);
}

async function* allSessions(host: Host, prefix: string, cursor: string | undefined): AsyncGenerator<SessionInfo> {
  const unstored = openOnes(host, prefix, cursor).filter(({ version }) => version === 0);
  for await (const stored of host.store.listRecords({ prefix, ...(cursor !== undefined && { after: cursor }) })) {
    while (unstored[0] !== undefined && unstored[0].id < stored.id)
      yield openInfo(host, unstored.shift() as Conversation);
    if (unstored[0]?.id === stored.id) unstored.shift(); // stored since we looked
    const open = host.open.get(stored.id);
    if (open !== undefined) {
      yield openInfo(host, open);
    } else if (!hasExpired(stored)) {
      const info = decoded(host, stored);
      if (info !== undefined) yield info;
    }
  }
  for (const conversation of unstored) yield openInfo(host, conversation);
}

function openOnes(host: Host, prefix: string, cursor: string | undefined): Conversation[] {
  const listed = [...host.open.values()].filter(
    ({ id }) => id.startsWith(prefix) && (cursor === undefined || id > cursor),
  );
  return listed.sort(byId);
}

/** One damaged record must not hide the others; it is counted, and resuming it says what is wrong. */
function decoded(host: Host, { id, info, expiresAt }: ListedRecord): SessionInfo | undefined {
  try {
    return sessionInfo(id, info, expiresAt);
  } catch {
    host.counters.corruptRecords++;
    return undefined;
  }
}

function openInfo(host: Host, conversation: Conversation): SessionInfo {
  const info = sessionInfo(conversation.id, infoOf(conversation), conversation.expiresAt);
  return { ...info, residency: host.residency.tierOf(conversation.kv) };
}

function stateOf(host: Host, id: string): string {
  return host.open.get(id)?.state ?? 'closed';
}

function byId(a: Conversation, b: Conversation): number {
  return a.id < b.id ? -1 : 1;
}
