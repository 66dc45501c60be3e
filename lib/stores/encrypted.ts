import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import { types } from 'node:util';
import type { LlamaError } from '../errors.js';
import { Calls } from './calls.js';
import { keyOf, missing, type Keys } from './keyring.js';
import { join } from './rules.js';
import type { ListedRecord, SessionStore, StoredRecord } from './store.js';

/** Some tenths of a millisecond of the event loop. */
const LISTED_AT_ONCE = 8;

/** Which store is behind one that encrypts. */
const behind = new WeakMap<SessionStore, SessionStore>();

/** What two stores have in common that are the same but for their keys. */
export function storeBehind(store: SessionStore): SessionStore {
  return behind.get(store) ?? store;
}

/**
 * The same store, which gets nothing to see of records, what a listing tells of them, and pages. It sees ids, versions, expiries, sizes,
 * and which sessions have pages in common.
 * @param store whose methods need no `this`
 */
export function encryptedStore(store: SessionStore, keys: Keys): SessionStore {
  const calls = new Calls('The encrypted store');
  const encrypted: SessionStore = {
    ...store,

    getRecord: (id) =>
      calls.run(async () => {
        const record = await store.getRecord(id);
        return record && opened(record, id, keys);
      }),

    putRecord: (id, bytes, { info, pages, ...options }) =>
      calls.run(async () => {
        const content = join(await keys.encrypt({ kind: 'record', name: id }, [bytes]));
        const told = info && { info: join(await keys.encrypt({ kind: 'info', name: id }, [info])) };
        // By all keys: what an older one has encrypted is of use as long as it is in the ring.
        const named = pages && { pages: pages.flatMap((page) => keys.namesOf(page)) };
        return store.putRecord(id, content, { ...options, ...told, ...named });
      }),

    async *listRecords(filter) {
      let count = 0;
      for await (const record of store.listRecords(filter)) {
        if (++count % LISTED_AT_ONCE === 0) await turnOfEventLoop();
        yield { ...record, info: await infoOf(record, keys) };
      }
    },

    close: () => calls.close(async () => store.close?.()),
  };
  if (store.getPage !== undefined) encrypted.getPage = (page) => calls.run(() => readPage(store, keys, page));
  if (store.putPage !== undefined) {
    encrypted.putPage = (page, bytes, options) =>
      calls.run(async () => {
        const parts = types.isUint8Array(bytes) ? [bytes] : bytes;
        const [name = ''] = keys.namesOf(page);
        const content = await keys.encrypt({ kind: 'page', name: page }, parts);
        return (await store.putPage?.(name, content, options)) === true;
      });
  }
  if (store.deletePage !== undefined) {
    encrypted.deletePage = (page) =>
      calls.run(async () => {
        const deleted = await Promise.all(keys.namesOf(page).map(async (name) => store.deletePage?.(name)));
        return deleted.includes(true);
      });
  }
  behind.set(encrypted, store);
  return encrypted;
}

async function readPage(store: SessionStore, keys: Keys, page: string): Promise<Uint8Array | undefined> {
  for (const name of keys.namesOf(page)) {
    const bytes = await store.getPage?.(name);
    if (bytes === undefined) continue;
    try {
      return await keys.decrypt({ kind: 'page', name: page }, bytes);
    } catch (error) {
      // What was changed is of use to nobody; it is computed again.
      if ((error as LlamaError).code === 'SNAPSHOT_CORRUPT') await store.deletePage?.(name);
    }
  }
  return undefined;
}

/** Why a record can't be read; it can be deleted, and its version and expiry are known. */
const problems = new WeakMap<StoredRecord, LlamaError>();
const outdated = new WeakSet<StoredRecord>();

/** What a record says. @throws LlamaError KEY_NOT_FOUND, SNAPSHOT_CORRUPT */
export function contentOf(record: StoredRecord): Uint8Array {
  const problem = problems.get(record);
  if (problem !== undefined) throw problem;
  const key = keyOf(record.bytes);
  if (key !== undefined) throw missing(key); // and this model has no keys at all
  return record.bytes;
}

/** Whether it is to be written again, as another key than the current one has encrypted it. */
export function isOutdated(record: StoredRecord): boolean {
  return outdated.has(record);
}

async function opened(record: StoredRecord, id: string, keys: Keys): Promise<StoredRecord> {
  try {
    const readable = { ...record, bytes: await keys.decrypt({ kind: 'record', name: id }, record.bytes) };
    if (keys.isOutdated(record.bytes)) outdated.add(readable);
    return readable;
  } catch (error) {
    const unreadable = { ...record, bytes: new Uint8Array() };
    problems.set(unreadable, error as LlamaError);
    return unreadable;
  }
}

/** Empty where it can't be read: who lists looks past that session, and who resumes it is told what is wrong. */
async function infoOf({ id, info }: ListedRecord, keys: Keys): Promise<Uint8Array> {
  if (info.byteLength === 0) return info;
  return keys.decrypt({ kind: 'info', name: id }, info).catch(() => new Uint8Array());
}
