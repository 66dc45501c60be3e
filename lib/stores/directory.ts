import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { envelope } from './envelope.js';
import { codeOf, storeFailure } from './failure.js';
import { makeFolder, moveTo, readWhole, remove, syncFolder } from './files.js';
import { listInOrder } from './rules.js';
import type {
  ListedRecord,
  PutPageOptions,
  PutRecordOptions,
  RecordFilter,
  SessionStore,
  StoredRecord,
} from './store.js';
import { Versions } from './versions.js';
import { Workplace } from './workplace.js';

/** Labels read at the same time; bounds the files that a listing has open. */
const LABELS_AT_ONCE = 32;

/**
 * Keeps sessions in a directory, which any number of processes of one machine may share:
 *
 *     sessions/<2 hex>/<SHA-256 of the id>/<version>.record
 *     pages/<2 hex>/<SHA-256 of the key>
 *     tmp/   what is being written; on the same file system, so that it can be linked and renamed into place
 *
 * It is made at the first use. The file system must have hard links (exFAT and some network shares have none). Background
 * fsyncs of durability 'everysec' that fail reject the next write, or `close()`.
 */
export class DirectoryStore implements SessionStore {
  readonly #place: Workplace;

  /** @param path of the directory; a relative one is resolved now */
  constructor(path: string) {
    this.#place = new Workplace(path);
  }

  getRecord(id: string): Promise<StoredRecord | undefined> {
    return this.#place.call('read a session record', async () => {
      const newest = await new Versions(this.#folder(id)).newest();
      if (newest === undefined) return undefined;
      const record: StoredRecord = { version: newest.version, bytes: newest.bytes };
      if (newest.label.expiresAt !== undefined) record.expiresAt = newest.label.expiresAt;
      return record;
    });
  }

  putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number> {
    return this.#place.call('write a session record', async () => {
      const { expected, expiresAt, durability = 'always' } = options;
      const durable = durability === 'always';
      const versions = new Versions(this.#folder(id));
      await versions.expect(expected);
      const label = envelope(expiresAt === undefined ? { id } : { id, expiresAt }, bytes.byteLength);
      const temporary = await this.#place.write([label, bytes], durable);
      try {
        await versions.add(temporary, expected, durable);
      } finally {
        // One that stays is swept later; it must not take back what was written.
        await remove(temporary).catch(() => false);
      }
      const version = expected + 1;
      if (durable) await syncFolder(this.#folder(id));
      // The versions before it go only when it is on the disk: a power failure may cost a second, never the session.
      if (durability === 'everysec') this.#place.settleLater(versions.path(version), () => versions.tidy(version));
      else await versions.tidy(version);
      return version;
    });
  }

  deleteRecord(id: string): Promise<boolean> {
    return this.#place.call('delete a session record', async () => {
      const folder = this.#folder(id);
      const deleted = await new Versions(folder).delete();
      if (deleted) await syncFolder(dirname(folder));
      return deleted;
    });
  }

  /** A damaged record does not hide the others: they are listed first, then it throws STORE_FAILED. */
  async *listRecords(filter: RecordFilter = {}): AsyncGenerator<ListedRecord, void> {
    const { ids, failures } = await this.#place.call('list the session records', () => this.#ids());
    yield* listInOrder(ids, filter, (id) => this.getRecord(id));
    if (failures.length > 0) throw storeFailure('list a session record', this.#place.root, failures[0]);
  }

  getPage(key: string): Promise<Uint8Array | undefined> {
    return this.#place.call('read a KV page', () => readWhole(this.#page(key)));
  }

  putPage(key: string, bytes: Uint8Array | readonly Uint8Array[], options: PutPageOptions = {}): Promise<void> {
    return this.#place.call('write a KV page', async () => {
      const durable = options.durability === 'always';
      const path = this.#page(key);
      const temporary = await this.#place.write(bytes instanceof Uint8Array ? [bytes] : bytes, durable);
      try {
        await makeFolder(dirname(path), durable);
        await moveTo(temporary, path);
      } catch (error) {
        await remove(temporary).catch(() => false);
        throw error;
      }
      if (durable) await syncFolder(dirname(path));
      if (options.durability === 'everysec') this.#place.settleLater(path);
    });
  }

  deletePage(key: string): Promise<boolean> {
    return this.#place.call('delete a KV page', () => remove(this.#page(key)));
  }

  /** Waits for what is in progress and brings everything to the disk. Idempotent. */
  close(): Promise<void> {
    return this.#place.close();
  }

  /** All ids in no order, and why the others could not be read. */
  async #ids(): Promise<{ ids: string[]; failures: unknown[] }> {
    const root = join(this.#place.root, 'sessions');
    const ids: string[] = [];
    const failures: unknown[] = [];
    for (const shard of await folders(root)) {
      const names = await folders(join(root, shard));
      for (let first = 0; first < names.length; first += LABELS_AT_ONCE) {
        const reads = names
          .slice(first, first + LABELS_AT_ONCE)
          .map((name) => new Versions(join(root, shard, name)).label());
        for (const read of await Promise.allSettled(reads)) {
          if (read.status === 'rejected') failures.push(read.reason);
          else if (read.value !== undefined) ids.push(read.value.id);
        }
      }
    }
    return { ids, failures };
  }

  #folder(id: string): string {
    const name = hash(id);
    return join(this.#place.root, 'sessions', name.slice(0, 2), name);
  }

  #page(key: string): string {
    const name = hash(key);
    return join(this.#place.root, 'pages', name.slice(0, 2), name);
  }
}

/** Over UTF-16: in UTF-8 all unpaired surrogates are one. */
function hash(text: string): string {
  return createHash('sha256').update(text, 'utf16le').digest('hex');
}

async function folders(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
