/** Moves sessions between this process and the store or a file: records always, KV where it helps. */
import type { Conversation } from './conversation.js';
import { LlamaError } from './errors.js';
import { hasExpired } from './expiry.js';
import { writeExport, type OpenExport } from './exportfile.js';
import type { Host } from './host.js';
import { infoOf } from './info.js';
import type { Page } from './pages.js';
import { decodeRecord, encodeRecord } from './record.js';
import { contentOf } from './stores/encrypted.js';
import type { StoredRecord } from './stores/store.js';
import { commonPrefix } from './tokens.js';

/**
 * Writes the record, if anything changed.
 * @throws LlamaError STORE_FAILED: the session lives on in memory; SESSION_CONFLICT: it is closed, the store has the other's
 */
export async function keepRecord(host: Host, conversation: Conversation): Promise<void> {
  if (conversation.conflict !== undefined) throw conversation.conflict;
  if (!conversation.dirty || conversation.deleted) return;
  await settleDoubtfulWrite(host, conversation);
  conversation.dirty = false; // what changes from here on is not in these bytes
  const bytes = encodeRecord(conversation.toRecord(host.fingerprint));
  const { expiresAt } = conversation;
  conversation.doubtful = bytes;
  try {
    conversation.version = await host.store.putRecord(conversation.id, bytes, {
      expected: conversation.version,
      info: infoOf(conversation),
      pages: pageKeys(host, conversation),
      durability: host.durability,
      ...(expiresAt !== undefined && { expiresAt }),
    });
  } catch (error) {
    conversation.dirty = true;
    if (isConflict(error)) conversation.overtaken(error);
    throw error;
  }
  conversation.doubtful = undefined;
}

/** Whether the store has what the session was read from or wrote last. If not, it ends here: another process has gone on with it. */
export async function isNewest(host: Host, conversation: Conversation): Promise<boolean> {
  await settleDoubtfulWrite(host, conversation);
  const stored = await host.store.getRecord(conversation.id);
  if ((stored?.version ?? 0) === conversation.version) return true;
  conversation.overtaken(
    new LlamaError('SESSION_CONFLICT', 'Another process has gone on with the session; resume it.'),
  );
  return false;
}

export function isConflict(error: unknown): error is LlamaError {
  return error instanceof LlamaError && error.code === 'SESSION_CONFLICT';
}

/** Of all pages that the record can use, wherever they are. */
function pageKeys({ info, residency }: Host, { usableTokens }: Conversation): string[] {
  return info.portableKv ? residency.namesOf(usableTokens).map(({ key }) => key) : [];
}

/** A write that failed may have arrived all the same: then it is ours, and no conflict. */
async function settleDoubtfulWrite(host: Host, conversation: Conversation): Promise<void> {
  const { doubtful, version, id } = conversation;
  if (doubtful === undefined) return;
  const stored = await host.store.getRecord(id);
  if (stored !== undefined && stored.version > version && Buffer.from(stored.bytes).equals(doubtful))
    conversation.version = stored.version;
  conversation.doubtful = undefined;
}

/** Writes record and KV. What the store has already is not written again. */
export async function keepAll(host: Host, conversation: Conversation): Promise<void> {
  const { residency, durability } = host;
  const { kv } = conversation;
  await keepRecord(host, conversation);
  if (!residency.tiers.keepsPages) return;
  for (const page of recordedPages(host, conversation)) {
    if (residency.tiers.isDurable(page.key, durability)) continue;
    const bytes = await residency.read(kv, page);
    if (bytes === undefined) return;
    await residency.tiers.save(page, bytes, durability);
  }
}

/** One portable file: the record, and the KV where there is any. @throws LlamaError STORE_FAILED */
export async function exportConversation(
  host: Host,
  conversation: Conversation,
  path: string,
): Promise<{ bytes: number }> {
  const pages = recordedPages(host, conversation);
  const read = (page: Page): Promise<Uint8Array | undefined> => host.residency.read(conversation.kv, page);
  return writeExport(path, conversation.toRecord(host.fingerprint), pages, read);
}

/** Takes the KV in from an export file, page by page, as far as it is there and of use. */
export async function takeKv(host: Host, conversation: Conversation, file: OpenExport): Promise<void> {
  const { residency, info, durability } = host;
  const { tiers } = residency;
  const wanted = info.portableKv ? residency.namesOf(conversation.usableTokens) : [];
  const pages = file.pages(wanted);
  residency.hold(conversation.kv, conversation.usableTokens); // pages that no session names are soon forgotten
  let kvTokens = 0;
  for (let next = await pages.next(); ; next = await pages.next()) {
    if (next.done === true) {
      // Damaged, or of another model, version or page size: it costs prefill, nothing else.
      if (next.value !== undefined || conversation.usableTokens.length < file.record.kvTokens)
        tiers.counters.kvMisses++;
      break;
    }
    const { page, kv } = next.value;
    // Other sessions may share it: what is there already is not replaced by what a file says.
    const known = await tiers.get(page);
    if (known === undefined) await tiers.add(page.key, Promise.resolve(kv), false);
    // Lack of room for KV must not undo the import; it is counted.
    if (tiers.keepsPages) await tiers.save(page, known?.kv ?? kv, durability).catch(() => undefined);
    kvTokens = page.to;
  }
  residency.hold(conversation.kv, conversation.tokens.subarray(0, kvTokens));
}

/** KV of something that the record does not say (a turn that came to nothing) could never be used again. */
function recordedPages({ info, residency }: Host, { kv, tokens }: Conversation): readonly Page[] {
  if (!info.portableKv) return [];
  const common = commonPrefix(kv.tokens, tokens);
  return residency.pagesOf(kv).filter(({ to }) => to <= common);
}

/** One that is open nowhere here. */
export async function deleteStored(host: Host, id: string): Promise<boolean> {
  const stored = await host.store.getRecord(id);
  const deleted = await host.store.deleteRecord(id);
  if (stored !== undefined) forgetKv(host, stored);
  return deleted;
}

/** Nothing of what was said is to stay in RAM, if the record can be read. */
export function forgetKv({ residency, fingerprint }: Host, stored: StoredRecord): void {
  try {
    const record = decodeRecord(contentOf(stored));
    if (record.fingerprint === fingerprint) residency.forget(record.tokens.subarray(0, record.kvTokens));
  } catch {
    // Damaged: what its pages are called can't be known.
  }
}

/** One that is open nowhere, unless it has been used since it was found. */
export async function deleteExpired(host: Host, id: string): Promise<void> {
  const { store } = host;
  await host.claim(id, false);
  try {
    const stored = await store.getRecord(id);
    if (stored === undefined || !hasExpired(stored)) return;
    await store.deleteRecord(id, { expected: stored.version });
    forgetKv(host, stored);
  } finally {
    await host.release(id);
  }
}
