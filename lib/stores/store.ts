/**
 * When a write counts as done:
 * - `always`: it survives a power failure once the promise resolves (fsync, a synchronous replica, a commit)
 * - `everysec`: it survives the process at once and a power failure within a second
 * - `none`: it survives the process, with no promise beyond that
 */
export type Durability = 'always' | 'everysec' | 'none';

/** The durable truth of a session, as a store keeps it. The bytes mean nothing to the store. */
export interface StoredRecord {
  /** 1 for a new record, one more with each write. */
  version: number;
  bytes: Uint8Array;
  /** Milliseconds since 1970; absent: never. */
  expiresAt?: number;
}

/** A stored record with its id, as a listing yields it. */
export interface ListedRecord extends StoredRecord {
  id: string;
}

/** How to write a record. */
export interface PutRecordOptions {
  /** The version that the writer has read; 0: no record of this id may exist. */
  expected: number;
  /** Milliseconds since 1970. Default: never. */
  expiresAt?: number;
  /** Default: 'always'. */
  durability?: Durability;
}

/** Which records to list. */
export interface RecordFilter {
  /** Ids that start with it. */
  prefix?: string;
  /** Ids that come after it: the last id of the page before. */
  after?: string;
  /** Most records to yield. Default: all. */
  limit?: number;
}

/**
 * Keeps sessions. Implement it over Redis, S3, SQL …; `test/suites/store-suite.ts` is the contract as tests.
 *
 * Rules for every method: ids and keys are any strings (empty, `../..`, with NUL characters): never let one reach a file
 * name or a query as it is. Bytes that come in belong to the caller: copy them or write them before the promise resolves;
 * bytes that go out belong to the caller. Calls may overlap. What goes wrong rejects with a `LlamaError` STORE_FAILED whose
 * `cause` is the error underneath; nothing else is thrown but SESSION_CONFLICT.
 */
export interface SessionStore {
  /** The record of that id. One that has expired may be there still: the caller compares `expiresAt`. */
  getRecord(id: string): Promise<StoredRecord | undefined>;

  /**
   * Replaces the record if its stored version is `expected`, atomically against every other process on this store.
   * Versions begin at 1 again after a delete.
   * @returns the new version, `expected + 1`
   * @throws LlamaError SESSION_CONFLICT when another version is stored; nothing was changed then
   */
  putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number>;

  /** True when there was one. */
  deleteRecord(id: string): Promise<boolean>;

  /**
   * Records in ascending order of their ids (by UTF-16 unit, JavaScript's `<`). What is written or deleted meanwhile may
   * be in it or not; everything else comes exactly once.
   */
  listRecords(filter?: RecordFilter): AsyncIterable<ListedRecord>;

  /** A KV page. A store that keeps no pages lacks the three page methods; a page that is gone is no error. */
  getPage?(key: string): Promise<Uint8Array | undefined>;

  /**
   * Keeps a page whole or not at all; replaces the one of that key. It can be 100 MB and more.
   * @param bytes one array or its parts in order, so that a header needs no copy of what follows
   */
  putPage?(key: string, bytes: Uint8Array | readonly Uint8Array[], options?: PutPageOptions): Promise<void>;

  /** True when there was one. */
  deletePage?(key: string): Promise<boolean>;

  /** Makes everything durable that was written, then lets go. Idempotent. */
  close?(): Promise<void>;
}

/** How to write a page. */
export interface PutPageOptions {
  /** Default: 'none', as a page can be computed again. */
  durability?: Durability;
}
