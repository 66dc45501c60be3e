/** How a session comes into this process: from the store, from a file, or back from another process. */
import { Conversation } from './conversation.js';
import { LlamaError } from './errors.js';
import { hasExpired } from './expiry.js';
import type { OpenExport } from './exportfile.js';
import type { Host } from './host.js';
import { forgetKv, isConflict, isNewest, keepRecord, takeKv } from './keeping.js';
import { decodeRecord, type SessionRecord } from './record.js';
import { contentOf, isOutdated } from './stores/encrypted.js';
import type { StoredRecord } from './stores/store.js';
import type { ResumeOptions } from './types.js';

/** Claims the session that `make` makes; lets go of it again where that fails, or the model is closed meanwhile. */
export async function claimed(
  host: Host,
  id: string,
  make: () => Promise<Conversation>,
  takeOver: boolean,
): Promise<Conversation> {
  await host.claim(id, takeOver);
  let conversation: Conversation | undefined;
  try {
    conversation = await make();
    host.checkNotClosed();
    return conversation;
  } catch (error) {
    if (conversation !== undefined) host.residency.drop(conversation.kv);
    await host.release(id);
    throw error;
  }
}

/** @throws LlamaError SESSION_EXISTS when the store has one of that id */
export async function checkUnstored(host: Host, id: string): Promise<void> {
  if ((await stored(host, id, true)) !== undefined) throw exists(id);
}

/** The one that the store keeps, which may use the KV there. @throws as `readStored()` */
export async function resumed(host: Host, id: string, options: ResumeOptions | undefined): Promise<Conversation> {
  const takenOver = options?.takeOver === true;
  const conversation = await readStored(host, id, options, takenOver);
  if (takenOver && hasExpired(conversation)) conversation.modifiedAt = Date.now(); // it was in use until now
  host.residency.presume(conversation.kv, conversation.usableTokens);
  return conversation;
}

/**
 * @param takenOver from who has it open: its record may say that its time is over
 * @throws TypeError; LlamaError SESSION_NOT_FOUND, SNAPSHOT_CORRUPT, SNAPSHOT_MISMATCH, KEY_NOT_FOUND, STORE_FAILED
 */
export async function readStored(
  host: Host,
  id: string,
  options: ResumeOptions | undefined,
  takenOver: boolean = false,
): Promise<Conversation> {
  const found = takenOver ? await host.store.getRecord(id) : await stored(host, id, false);
  if (found === undefined) throw new LlamaError('SESSION_NOT_FOUND', `No session '${id}' is stored; create it.`);
  const conversation = fromRecord(host, { ...decodeRecord(contentOf(found)), id });
  conversation.version = found.version;
  conversation.dirty = isOutdated(found);
  conversation.reconfigure(options);
  return conversation;
}

/**
 * The one in an export file; the store has it on return.
 * @param replace what is stored under that id
 * @throws LlamaError SESSION_EXISTS, SESSION_CONFLICT, STORE_FAILED; nothing was replaced then
 */
export async function imported(host: Host, id: string, file: OpenExport, replace: boolean): Promise<Conversation> {
  const before = await stored(host, id, true);
  if (before !== undefined && !replace) throw exists(id);
  const record = { ...file.record, id, modifiedAt: Date.now() };
  const conversation = fromRecord(host, record);
  conversation.version = before?.version ?? 0;
  conversation.dirty = true;
  await keepRecord(host, conversation);
  if (before !== undefined) forgetKv(host, before);
  await takeKv(host, conversation, file);
  return conversation;
}

function fromRecord({ fingerprint, info }: Host, record: SessionRecord): Conversation {
  return Conversation.fromRecord(record, fingerprint, info.vocabularySize);
}

/** Claims an open session again, which another process may have taken over. @returns whether it has not gone on there */
export async function takeBack(host: Host, conversation: Conversation): Promise<boolean> {
  await host.store.claim?.(conversation.id, true);
  try {
    return await host.inOrder(conversation, () => isNewest(host, conversation));
  } catch (error) {
    if (conversation.closed) return false;
    throw error;
  }
}

export function exists(id: string): LlamaError {
  return new LlamaError('SESSION_EXISTS', `A session '${id}' exists already; resume it, or choose another id.`);
}

/**
 * What the store keeps, unless it has expired: then it goes now. Where another process may have it open, as nobody can tell, it goes
 * only when something else is to have its id.
 */
async function stored(host: Host, id: string, isWanted: boolean): Promise<StoredRecord | undefined> {
  const found = await host.store.getRecord(id);
  if (found === undefined || !hasExpired(found)) return found;
  try {
    if (isWanted || host.knowsOwners) await host.store.deleteRecord(id, { expected: found.version });
  } catch (error) {
    if (!isConflict(error)) throw error;
    return host.store.getRecord(id); // in use: it ends where it is open
  }
  forgetKv(host, found);
  return undefined;
}
