/**
 * When a write counts as done:
 * - `always`: it survives a power failure once the promise resolves (fsync, a synchronous replica, a commit)
 * - `everysec`: it survives the process at once and a power failure within a second
 * - `none`: it survives the process, with no promise beyond that
 */
export type Durability = 'always' | 'everysec' | 'none';

/** The durable truth of a session, as a store keeps it. The bytes mean nothing to the store. */
export interface StoredRecord {
  /** At least 1, and one more with each write. */
  version: number;
  bytes: Uint8Array;
  /** Milliseconds since 1970; absent: never. */
  expiresAt?: number;
}

/** What a listing yields of a record: not its bytes, which may be large. */
export interface ListedRecord {
  id: string;
  version: number;
  /** As it was written with the record; empty when it was written without. */
  info: Uint8Array;
  /** Milliseconds since 1970; absent: never. */
  expiresAt?: number;
}

/** How to write a record. */
export interface PutRecordOptions {
  /** The version that the writer has read; 0: no record of this id may exist. */
  expected: number;
  /** What a listing tells of the record: a few hundred bytes. Default: empty. */
  info?: Uint8Array;
  /** Keys of all pages that the record can use, whether or not they are stored (yet). Default: none. */
  pages?: readonly string[];
  /** Milliseconds since 1970. Default: never. */
  expiresAt?: number;
  /** Default: 'always'. */
  durability?: Durability;
}

/** How to delete a record. */
export interface DeleteRecordOptions {
  /** The version that the caller has read. Default: whichever is stored, whoever has claimed the session. */
  expected?: number;
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
 * Keeps sessions. Implement it over Redis, S3, SQL …; `test/suites/store-suite.ts` is the contract as tests. A missing optional
 * method is a missing capability. Where `undefined` may be answered, null may be too.
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
   * No id is given a version twice: a record that is made anew after a delete begins above what the deleted one had. Pages that
   * only the replaced record named are given up.
   * @returns the new version: `expected + 1`, or that of a new record
   * @throws LlamaError SESSION_CONFLICT when another version is stored, or somebody else has claimed the session; nothing was
   * changed then
   */
  putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number>;

  /**
   * Its pages go with it, unless another record names them. With `expected`, atomically against every other process on this
   * store, as `putRecord`: who deletes what he has read (as it had expired, say) must not take what somebody has written since.
   * @returns whether there was one
   * @throws LlamaError SESSION_CONFLICT when another version than `expected` is stored, or somebody else has claimed that
   * session; nothing was changed then. Never without `expected`.
   */
  deleteRecord(id: string, options?: DeleteRecordOptions): Promise<boolean>;

  /**
   * Records in ascending order of their ids (by UTF-16 unit, JavaScript's `<`). What is written or deleted meanwhile may
   * be in it or not; everything else comes exactly once.
   */
  listRecords(filter?: RecordFilter): AsyncIterable<ListedRecord>;

  /**
   * Ids of records whose `expiresAt` is not after `now`, the longest expired first, at most `limit`. Needs `claim`: without it nobody
   * can tell whether another process has a session open, whose turn may outlast its time; what has expired is not deleted then.
   */
  listExpired?(now: number, limit: number): Promise<string[]>;

  /**
   * Makes this store object the one that may write the session, until it lets go or its process ends: others get
   * SESSION_CONFLICT. Idempotent.
   * @param takeOver although somebody else, who lives, has it
   * @throws LlamaError SESSION_CONFLICT
   */
  claim?(id: string, takeOver: boolean): Promise<void>;

  /** Lets go of a session that it has claimed. */
  release?(id: string): Promise<void>;

  /** A KV page. One that is gone is no error. */
  getPage?(key: string): Promise<Uint8Array | undefined>;

  /**
   * Keeps a page whole or not at all, as long as some record names it and the store's budget allows. It can be 100 MB and more.
   * A key stands for one content for ever: what is stored already is not written again.
   * @param bytes one array or its parts in order, so that a header needs no copy of what follows
   * @returns whether it is stored now; false: no record names it, or it is larger than the budget
   */
  putPage?(key: string, bytes: Uint8Array | readonly Uint8Array[], options?: PutPageOptions): Promise<boolean>;

  /** Drops a page, which turned out to be damaged, say; records go on naming it. True when there was one. */
  deletePage?(key: string): Promise<boolean>;

  /** Counters and gauges of its own, for `model.stats()`. Synchronous, so that it costs nothing to ask. Never throws. */
  stats?(): Record<string, number>;

  /** Makes everything durable that was written, lets go of what it has claimed. Idempotent. */
  close?(): Promise<void>;
}

/** How to write a page. */
export interface PutPageOptions {
  /** Default: 'none', as a page can be computed again. */
  durability?: Durability;
}
