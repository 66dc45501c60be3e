import { conflict, listInOrder } from './rules.js';
import type { ListedRecord, PutRecordOptions, RecordFilter, SessionStore, StoredRecord } from './store.js';

/** Keeps everything in this process, and nothing beyond it: for tests, and for sessions that need not outlive it. */
export class MemoryStore implements SessionStore {
  readonly #records = new Map<string, StoredRecord>();
  readonly #pages = new Map<string, Uint8Array>();

  getRecord(id: string): Promise<StoredRecord | undefined> {
    const record = this.#records.get(id);
    return Promise.resolve(record && { ...record, bytes: join([record.bytes]) });
  }

  putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number> {
    const stored = this.#records.get(id)?.version ?? 0;
    if (stored !== options.expected) return Promise.reject(conflict(options.expected, stored));
    const record: StoredRecord = { version: stored + 1, bytes: join([bytes]) };
    if (options.expiresAt !== undefined) record.expiresAt = options.expiresAt;
    this.#records.set(id, record);
    return Promise.resolve(record.version);
  }

  deleteRecord(id: string): Promise<boolean> {
    return Promise.resolve(this.#records.delete(id));
  }

  listRecords(filter: RecordFilter = {}): AsyncGenerator<ListedRecord, void> {
    return listInOrder([...this.#records.keys()], filter, (id) => this.getRecord(id));
  }

  getPage(key: string): Promise<Uint8Array | undefined> {
    const page = this.#pages.get(key);
    return Promise.resolve(page && join([page]));
  }

  putPage(key: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<void> {
    this.#pages.set(key, join(bytes instanceof Uint8Array ? [bytes] : bytes));
    return Promise.resolve();
  }

  deletePage(key: string): Promise<boolean> {
    return Promise.resolve(this.#pages.delete(key));
  }

  /** Nothing to let go of: a model that closes its store may leave one that another model uses. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A copy in memory of its own; `slice()` of a Buffer would share it. */
function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}
