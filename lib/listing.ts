import type { Conversation } from './conversation.js';
import type { Host } from './host.js';
import { decodeRecord, type SessionRecord } from './record.js';
import type { SessionFilter, SessionInfo } from './types.js';

/** Longest summary, in characters. */
const SUMMARY = 80;

/** Sessions in order of their ids: those that the store keeps, and those that are open and not stored yet. */
export async function* listSessions(host: Host, filter: SessionFilter): AsyncGenerator<SessionInfo> {
  const { prefix = '', cursor, limit = Infinity, state } = filter;
  let left = limit;
  for await (const info of allSessions(host, prefix, cursor)) {
    if (left <= 0) return;
    if (state !== undefined && state !== stateOf(host, info.id)) continue;
    left--;
    yield info;
  }
}

async function* allSessions(host: Host, prefix: string, cursor: string | undefined): AsyncGenerator<SessionInfo> {
  const isListed = (id: string): boolean => id.startsWith(prefix) && (cursor === undefined || id > cursor);
  const unstored = [...host.open.values()].filter((one) => one.version === 0 && isListed(one.id)).sort(byId);
  for await (const stored of host.store.listRecords({ prefix, ...(cursor !== undefined && { after: cursor }) })) {
    while (unstored[0] !== undefined && unstored[0].id < stored.id)
      yield infoOf(host, unstored.shift() as Conversation);
    if (unstored[0]?.id === stored.id) unstored.shift(); // stored since we looked
    const open = host.open.get(stored.id);
    if (open !== undefined) {
      yield infoOf(host, open);
    } else if ((stored.expiresAt ?? Infinity) > Date.now()) {
      const record = decoded(host, stored.bytes);
      if (record !== undefined) yield storedInfo(record, stored.expiresAt);
    }
  }
  for (const conversation of unstored) yield infoOf(host, conversation);
}

/** One damaged record must not hide the others; it is counted, and resuming it says what is wrong. */
function decoded(host: Host, bytes: Uint8Array): SessionRecord | undefined {
  try {
    return decodeRecord(bytes);
  } catch {
    host.counters.corruptRecords++;
    return undefined;
  }
}

function infoOf(host: Host, conversation: Conversation): SessionInfo {
  const info = storedInfo(conversation.toRecord(host.fingerprint), conversation.expiresAt);
  return { ...info, residency: conversation.kv.tier };
}

function storedInfo(record: SessionRecord, expiresAt: number | undefined): SessionInfo {
  const first = record.messages.find((message) => message.role === 'user');
  return {
    id: record.id,
    createdAt: new Date(record.createdAt),
    modifiedAt: new Date(record.modifiedAt),
    ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt) }),
    summary: Array.from(first?.content ?? '')
      .slice(0, SUMMARY)
      .join(''),
    messages: record.messages.length,
    tokens: record.tokens.length,
    residency: record.kv === undefined ? 'none' : 'store',
    metadata: { ...record.metadata },
  };
}

function stateOf(host: Host, id: string): string {
  return host.open.get(id)?.state ?? 'closed';
}

function byId(a: Conversation, b: Conversation): number {
  return a.id < b.id ? -1 : 1;
}
