/** Moves sessions between this process and the store or a file: records always, KV where it helps. */
import type { Conversation } from './conversation.js';
import { LlamaError } from './errors.js';
import { writeExport } from './exportfile.js';
import type { Host } from './host.js';
import { decodePage, encodePage } from './page.js';
import { encodeRecord } from './record.js';
import type { HeldKv } from './residency.js';
import { commonPrefix } from './tokens.js';

/**
 * Writes the record, if anything changed.
 * @throws LlamaError STORE_FAILED: the session lives on in memory; SESSION_CONFLICT: it is closed, the store has the other's
 */
export async function keepRecord(host: Host, conversation: Conversation): Promise<void> {
  if (!conversation.dirty || conversation.doomed) return;
  await settleDoubtfulWrite(host, conversation);
  const bytes = encodeRecord(conversation.toRecord(host.fingerprint));
  const { expiresAt } = conversation;
  conversation.doubtful = bytes;
  try {
    conversation.version = await host.store.putRecord(conversation.id, bytes, {
      expected: conversation.version,
      durability: host.durability,
      ...(expiresAt !== undefined && { expiresAt }),
    });
  } catch (error) {
    if (error instanceof LlamaError && error.code === 'SESSION_CONFLICT') conversation.overtaken();
    throw error;
  }
  conversation.doubtful = undefined;
  conversation.dirty = false;
}

/** A write that failed may have arrived all the same: then it is ours, and no conflict. */
async function settleDoubtfulWrite(host: Host, conversation: Conversation): Promise<void> {
  const { doubtful, version, id } = conversation;
  if (doubtful === undefined) return;
  const stored = await host.store.getRecord(id);
  if (stored?.version === version + 1 && Buffer.from(stored.bytes).equals(doubtful))
    conversation.version = stored.version;
  conversation.doubtful = undefined;
}

/** Writes record and KV. What the store has already is not written again. */
export async function keepAll(host: Host, conversation: Conversation): Promise<void> {
  const replaced = await keepKv(host, conversation);
  await keepRecord(host, conversation);
  // After the record that no longer names it: a crash in between leaves a page too many, never one too few.
  if (replaced !== undefined) await host.store.deletePage?.(replaced);
}

/** Makes the saved KV what the session comes back with. Whatever is wrong with it is a cache miss. */
export function useSavedKv(host: Host, conversation: Conversation): void {
  const read = async (): Promise<HeldKv | undefined> => {
    const { savedKv, tokens } = conversation;
    const page = savedKv && (await host.store.getPage?.(savedKv.key).catch(() => undefined));
    const content =
      page && (await decodePage(page, { fingerprint: host.fingerprint, kvFormat: host.info.kvFormat, tokens }));
    if (content !== undefined && !('problem' in content))
      return { bytes: content.kv, tokens: tokens.subarray(0, content.tokens) };
    host.residency.counters.kvMisses++;
    return undefined;
  };
  conversation.kv.fetch = conversation.savedKv === undefined ? undefined : read;
}

/** One portable file: the record, and the KV where there is any. @throws LlamaError STORE_FAILED */
export async function exportConversation(
  host: Host,
  conversation: Conversation,
  path: string,
): Promise<{ bytes: number }> {
  const kv = host.info.portableKv
    ? usable((await host.residency.copy(conversation.kv)) ?? (await conversation.kv.fetch?.()), conversation)
    : undefined;
  const record = conversation.toRecord(host.fingerprint);
  return writeExport(path, record, kv && { kvFormat: host.info.kvFormat, tokens: kv.tokens.length, bytes: kv.bytes });
}

/** Removes record and KV. @returns whether there was a record */
export async function forget(host: Host, id: string, pageKey: string | undefined): Promise<boolean> {
  const existed = await host.store.deleteRecord(id);
  if (pageKey !== undefined) await host.store.deletePage?.(pageKey);
  return existed;
}

/** @returns the key of the page that the new one replaces */
async function keepKv(host: Host, conversation: Conversation): Promise<string | undefined> {
  const { store, residency, durability, fingerprint, info } = host;
  if (store.putPage === undefined || !info.portableKv) return undefined;
  const before = conversation.savedKv;
  // Neither on the device nor in RAM: then it is where it was saved, or came from a file and is not saved yet.
  const kv = usable(
    (await residency.copy(conversation.kv)) ?? (before === undefined ? await conversation.kv.fetch?.() : undefined),
    conversation,
  );
  if (kv === undefined) return undefined;
  const key = conversation.pageKey(fingerprint, info.kvFormat, kv.tokens);
  if (key === before?.key) return undefined;

  const header = await encodePage({ fingerprint, kvFormat: info.kvFormat, tokens: kv.tokens }, kv.bytes);
  await store.putPage(key, [header, kv.bytes], { durability });
  conversation.savedKv = { key, tokens: kv.tokens.length, bytes: header.byteLength + kv.bytes.byteLength };
  conversation.dirty = true;
  useSavedKv(host, conversation);
  return before?.key;
}

/** KV of something that the record does not say (a turn that came to nothing) could never be used again. */
function usable(kv: HeldKv | undefined, conversation: Conversation): HeldKv | undefined {
  return kv !== undefined && commonPrefix(kv.tokens, conversation.tokens) === kv.tokens.length ? kv : undefined;
}
