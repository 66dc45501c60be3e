import { types } from 'node:util';
import { checkStoreOptions, conflict, join } from './rules.js';
import type {
  DeleteRecordOptions,
  ListedRecord,
  PutRecordOptions,
  RecordFilter,
  SessionStore,
  StoredRecord,
} from './store.js';

const PAGE_BYTES = 2 ** 30;

interface Kept extends StoredRecord {
  info: Uint8Array;
  pages: ReadonlySet<string>;
}

/** How to keep sessions in memory. */
export interface MemoryStoreOptions {
  /** Bytes of all KV pages together; those used least recently go first; 0: none. Default: 1 GiB. */
  pageBytes?: number;
}

/** Keeps everything in this process, and nothing beyond it: for tests, and for sessions that need not outlive it. */
export class MemoryStore implements SessionStore {
  readonly #records = new Map<string, Kept>();
  /** How many records name a page. */
  readonly #users = new Map<string, number>();
  /** In the order of their last use. */
  readonly #pages = new Map<string, Uint8Array>();
  readonly #pageBytes: number;
  /** The highest version of a record that was deleted. */
  #deletedVersion = 0;
  #storedBytes = 0;
  #evictions = 0;

  /** @throws TypeError, RangeError */
  constructor(options: MemoryStoreOptions = {}) {
    checkStoreOptions('options', options);
    this.#pageBytes = options.pageBytes ?? PAGE_BYTES;
  }

  getRecord(id: string): Promise<StoredRecord | undefined> {
    const record = this.#records.get(id);
    if (record === undefined) return Promise.resolve(undefined);
    const { info: _info, pages: _pages, bytes, ...rest } = record;
    return Promise.resolve({ ...rest, bytes: join([bytes]) });
  }

  putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number> {
    const before = this.#records.get(id);
    const stored = before?.version ?? 0;
    if (stored !== options.expected) return Promise.reject(conflict(options.expected, stored));
    const pages = new Set(options.pages);
    const info = join([options.info ?? new Uint8Array()]);
    const version = (before?.version ?? this.#deletedVersion) + 1;
    const record: Kept = { version, bytes: join([bytes]), info, pages };
    if (options.expiresAt !== undefined) record.expiresAt = options.expiresAt;
    this.#records.set(id, record);
    for (const key of pages) this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
    this.#giveUp(before);
    return Promise.resolve(record.version);
  }

  deleteRecord(id: string, { expected }: DeleteRecordOptions = {}): Promise<boolean> {
    const record = this.#records.get(id);
    if (record !== undefined && expected !== undefined && record.version !== expected) {
      return Promise.reject(conflict(expected, record.version));
    }
    this.#deletedVersion = Math.max(this.#deletedVersion, record?.version ?? 0);
    this.#giveUp(record);
    return Promise.resolve(this.#records.delete(id));
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the contract is asynchronous, memory is not
  async *listRecords({ prefix = '', after, limit = Infinity }: RecordFilter = {}): AsyncGenerator<ListedRecord, void> {
    const ids = [...this.#records.keys()].filter((id) => id.startsWith(prefix) && (after === undefined || id > after));
    let left = limit;
    // sort() without a function compares UTF-16 units, as the contract says.
    for (const id of ids.sort()) {
      const record = this.#records.get(id);
      if (record === undefined) continue;
      if (left-- <= 0) return;
      const { version, info, expiresAt } = record;
      yield { id, version, info: join([info]), ...(expiresAt === undefined ? {} : { expiresAt }) };
    }
  }

  listExpired(now: number, limit: number): Promise<string[]> {
    const expired = [...this.#records].flatMap(([id, { expiresAt = Infinity }]) =>
      expiresAt <= now && expiresAt < Infinity ? [{ id, expiresAt }] : [],
    );
    expired.sort((a, b) => a.expiresAt - b.expiresAt);
    return Promise.resolve(expired.slice(0, limit).map(({ id }) => id));
  }

  /** Nobody else has this store: whoever asks may write. */
  claim(): Promise<void> {
    return Promise.resolve();
  }

  release(): Promise<void> {
    return Promise.resolve();
  }

  getPage(key: string): Promise<Uint8Array | undefined> {
    const page = this.#pages.get(key);
    if (page === undefined) return Promise.resolve(undefined);
    this.#pages.delete(key);
    this.#pages.set(key, page);
    return Promise.resolve(join([page]));
  }

  putPage(key: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<boolean> {
    if (this.#pages.has(key)) return Promise.resolve(true);
    const page = join(types.isUint8Array(bytes) ? [bytes] : bytes);
    if (!this.#users.has(key) || page.byteLength > this.#pageBytes) return Promise.resolve(false);
    this.#pages.set(key, page);
    this.#storedBytes += page.byteLength;
    for (const oldest of this.#pages.keys()) {
      if (this.#storedBytes <= this.#pageBytes) break;
      this.#drop(oldest);
      this.#evictions++;
    }
    return Promise.resolve(true);
  }

  deletePage(key: string): Promise<boolean> {
    return Promise.resolve(this.#drop(key));
  }

  stats(): Record<string, number> {
    return { storedPages: this.#pages.size, storedPageBytes: this.#storedBytes, pageEvictions: this.#evictions };
  }

  /** Nothing to let go of: a model that closes its store may leave one that another model uses. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Its pages go where no other record names them. */
  #giveUp(record: Kept | undefined): void {
    for (const key of record?.pages ?? []) {
      const users = (this.#users.get(key) ?? 0) - 1;
      if (users > 0) {
        this.#users.set(key, users);
        continue;
      }
      this.#users.delete(key);
      this.#drop(key);
    }
  }

  #drop(key: string): boolean {
    this.#storedBytes -= this.#pages.get(key)?.byteLength ?? 0;
    return this.#pages.delete(key);
  }
}
