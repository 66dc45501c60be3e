/** A store of KV pages in memory, which notes what it is asked, and waits, refuses and fails when a test says so. */
import { LlamaError } from '../../lib/errors.js';
import type { ListedRecord, PutPageOptions, SessionStore, StoredRecord } from '../../lib/stores/store.js';
import { Gate } from './gate.js';

export class PageStore implements SessionStore {
  readonly pages: Map<string, Uint8Array> = new Map();
  /** `get KEY`, `put KEY DURABILITY`, `delete KEY`, in order. */
  readonly calls: string[] = [];
  readonly reads: Gate = new Gate();
  readonly writes: Gate = new Gate();
  /** No record names the pages. */
  refuses = false;
  fails = false;

  /** How many pages it was asked to keep. */
  get puts(): number {
    return this.calls.filter((call) => call.startsWith('put')).length;
  }

  async getPage(key: string): Promise<Uint8Array | undefined> {
    this.calls.push(`get ${key}`);
    await this.reads.pass();
    this.#check();
    return this.pages.get(key);
  }

  async putPage(
    key: string,
    bytes: Uint8Array | readonly Uint8Array[],
    { durability = 'none' }: PutPageOptions = {},
  ): Promise<boolean> {
    this.calls.push(`put ${key} ${durability}`);
    await this.writes.pass();
    this.#check();
    if (!this.refuses) this.pages.set(key, Buffer.concat(bytes instanceof Uint8Array ? [bytes] : bytes));
    return !this.refuses;
  }

  async deletePage(key: string): Promise<boolean> {
    this.calls.push(`delete ${key}`);
    await this.reads.pass();
    this.#check();
    return this.pages.delete(key);
  }

  getRecord(): Promise<StoredRecord | undefined> {
    return unused();
  }

  putRecord(): Promise<number> {
    return unused();
  }

  deleteRecord(): Promise<boolean> {
    return unused();
  }

  listRecords(): AsyncIterable<ListedRecord> {
    throw new Error('no records here');
  }

  #check(): void {
    if (this.fails) throw new LlamaError('STORE_FAILED', 'The disk is full.');
  }
}

/** One that keeps records only. */
export class RecordStore implements SessionStore {
  getRecord = unused;
  putRecord = unused;
  deleteRecord = unused;
  listRecords = (): AsyncIterable<ListedRecord> => {
    throw new Error('no records here');
  };
}

function unused(): Promise<never> {
  return Promise.reject(new Error('no records here'));
}
