import { resolve } from 'node:path';
import { types } from 'node:util';
import { Calls } from './calls.js';
import { Claims } from './claims.js';
import { codeOf, storeFailure } from './failure.js';
import { Ledger } from './ledger.js';
import { LedgerClaims } from './ledgerclaims.js';
import { newOwner } from './owners.js';
import { PageFiles } from './pagefiles.js';
import { addPage, dropPage, evict, getPage } from './pages.js';
import { deleteRecord, getRecord, listExpired, listRecords, putRecord } from './records.js';
import { checkPath, checkStoreOptions, inPortions } from './rules.js';
import type {
  DeleteRecordOptions,
  ListedRecord,
  PutPageOptions,
  PutRecordOptions,
  RecordFilter,
  SessionStore,
  StoredRecord,
} from './store.js';
import { sweep } from './sweep.js';
import { pageHash, readTotals } from './tables.js';
import { Uses } from './uses.js';

const PAGE_BYTES = 2 ** 34;

/** A store that nobody has any more lets go of what it claimed: this process would go on saying that it lives. */
const dropped = new FinalizationRegistry<{ claims: Claims; ledger: Ledger }>(({ claims, ledger }) => {
  void claims
    .end()
    .catch(() => undefined) // who wants one of these may take it over
    .then(() => ledger.leave());
});

/** How to keep sessions in a directory. */
export interface DirectoryStoreOptions {
  /** Bytes of all KV pages together; those used least recently go first; 0: none. Default: 16 GiB. */
  pageBytes?: number;
}

/**
 * Keeps sessions in a directory, which any number of processes of one machine may share:
 *
 *     index/   records, and what is known of pages; an SQLite database
 *     pages/   KV pages, a file each
 *     tmp/     pages that are being written
 *
 * It is made at the first use. When it is removed or replaced while it is open, everything fails with STORE_FAILED until it is put
 * back: it is never made a second time. Another store object begins anew. Use a local file system: network file systems do locks and
 * shared memory wrong. Copy, move and restore index/ as a whole: its files belong together; and never read them in a process that has
 * the store open: to close one lets go of its locks. Another copy of this package in the same process is refused.
 * A write of a record is on the disk when it resolves, whatever durability was asked for; all that come while one is on its way
 * make up the next commit.
 */
export class DirectoryStore implements SessionStore {
  readonly #ledger: Ledger;
  readonly #files: PageFiles;
  /** Who this store is to others. */
  readonly #owner = newOwner();
  readonly #claims: Claims;
  readonly #uses: Uses;
  readonly #pageBytes: number;
  readonly #calls: Calls;

  /**
   * @param path of the directory; a relative one is resolved now
   * @throws TypeError, RangeError
   */
  constructor(path: string, options: DirectoryStoreOptions = {}) {
    checkPath('path', path);
    checkStoreOptions('options', options);
    const root = resolve(path);
    this.#ledger = Ledger.join(root);
    this.#calls = new Calls(`The store in ${root}`);
    this.#files = new PageFiles(root);
    this.#claims = new Claims(new LedgerClaims(this.#ledger, this.#owner));
    this.#uses = new Uses(this.#ledger);
    this.#pageBytes = options.pageBytes ?? PAGE_BYTES;
    dropped.register(this, { claims: this.#claims, ledger: this.#ledger }, this);
  }

  getRecord(id: string): Promise<StoredRecord | undefined> {
    return this.#call('read a session record', () => this.#ledger.read((view) => getRecord(view, id)));
  }

  putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number> {
    // It is drafted later, perhaps twice: the caller may transfer or change what is his.
    const copy = Buffer.from(bytes);
    return this.#call('write a session record', async () => {
      const { version, files } = await this.#ledger.change((draft) => putRecord(draft, id, copy, options, this.#owner));
      await this.#files.remove(files);
      return version;
    });
  }

  deleteRecord(id: string, options: DeleteRecordOptions = {}): Promise<boolean> {
    return this.#call('delete a session record', async () => {
      const { deleted, files } = await this.#ledger.change((draft) => deleteRecord(draft, id, options, this.#owner));
      await this.#files.remove(files);
      return deleted;
    });
  }

  listRecords(filter: RecordFilter = {}): AsyncGenerator<ListedRecord, void> {
    return inPortions(filter, (from, most) =>
      this.#call('list the session records', () => this.#ledger.read((view) => listRecords(view, from, most))),
    );
  }

  listExpired(now: number, limit: number): Promise<string[]> {
    return this.#call('list the expired sessions', () => this.#ledger.read((view) => listExpired(view, now, limit)));
  }

  claim(id: string, takeOver: boolean): Promise<void> {
    return this.#call('claim a session', () => this.#claims.claim(id, takeOver));
  }

  release(id: string): Promise<void> {
    return this.#call('release a session', () => this.#claims.release(id));
  }

  getPage(key: string): Promise<Uint8Array | undefined> {
    return this.#call('read a KV page', async () => {
      const hash = pageHash(key);
      const { stored } = await this.#ledger.read((view) => getPage(view, hash));
      if (stored === undefined) return undefined;
      const bytes = await this.#files.read(stored.file);
      // A power failure may have taken a file that was not synced, or its end.
      if (bytes?.byteLength !== stored.bytes) return this.#drop(hash, stored.file).then(() => undefined);
      this.#uses.note(hash, stored);
      return bytes;
    });
  }

  putPage(
    key: string,
    bytes: Uint8Array | readonly Uint8Array[],
    { durability = 'none' }: PutPageOptions = {},
  ): Promise<boolean> {
    return this.#call('write a KV page', async () => {
      const hash = pageHash(key);
      const parts = types.isUint8Array(bytes) ? [bytes] : bytes;
      const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
      const { users, stored } = await this.#ledger.read((view) => getPage(view, hash));
      if (stored !== undefined) {
        if (await this.#files.has(stored)) {
          if (durability !== 'none') await this.#files.sync(stored.file);
          this.#uses.note(hash, stored);
          return true;
        }
        await this.#drop(hash, stored.file);
      }
      if (users === 0 || length > this.#pageBytes) return false;
      return this.#addPage(hash, parts, length, durability !== 'none');
    });
  }

  deletePage(key: string): Promise<boolean> {
    return this.#call('delete a KV page', () => this.#drop(pageHash(key)));
  }

  /** Figures of the whole directory, by all processes since it was made. Empty before the first use. */
  stats(): Record<string, number> {
    const totals = this.#ledger.peek(readTotals);
    if (totals === undefined) return {};
    const { usedAt: _usedAt, deletedVersion: _deletedVersion, ...stats } = totals;
    return stats;
  }

  /** Removes what processes that ended in the middle of a write left behind. Happens at the first use anyway. */
  sweep(): Promise<void> {
    return this.#call('sweep', () => sweep(this.#ledger, this.#files));
  }

  /** Waits for what is in progress, and lets go of all claims. Idempotent. */
  close(): Promise<void> {
    return this.#calls.close(() => this.#end());
  }

  /** @param file only if this is its file */
  async #drop(hash: string, file?: string): Promise<boolean> {
    const dropped = await this.#ledger.change((draft) => dropPage(draft, hash, file));
    if (dropped !== undefined) await this.#files.remove([dropped]);
    return dropped !== undefined;
  }

  async #addPage(hash: string, parts: readonly Uint8Array[], bytes: number, durable: boolean): Promise<boolean> {
    const file = await this.#files.write(hash, parts, durable);
    try {
      const page = { file, bytes };
      const { added, stored, files, more } = await this.#ledger.change((draft) =>
        addPage(draft, hash, page, this.#pageBytes),
      );
      await this.#files.remove(files);
      if (!added) {
        await this.#files.abandon(file);
        return stored;
      }
      const isStored = await this.#finish(hash, file, durable);
      // Whatever becomes of that: the next page that comes goes on with it.
      if (more) await this.#evict().catch(() => undefined);
      return isStored;
    } catch (error) {
      await this.#files.abandon(file);
      // The index may name it already.
      await this.#drop(hash, file).catch(() => false);
      throw error;
    }
  }

  /** @returns whether the page is stored */
  async #finish(hash: string, file: string, durable: boolean): Promise<boolean> {
    await this.#files.finish(file, durable);
    const { stored } = await this.#ledger.read((view) => getPage(view, hash));
    // Whoever made the index forget it meanwhile has found no file to remove.
    if (stored?.file !== file) await this.#files.remove([file]);
    return stored !== undefined;
  }

  /** Keeps to the budget again after it has become smaller: in several commits, as one would keep the event loop for seconds. */
  async #evict(): Promise<void> {
    for (let more = true; more;) {
      const evicted = await this.#ledger.change((draft) => evict(draft, this.#pageBytes));
      await this.#files.remove(evicted.files);
      more = evicted.more;
    }
  }

  /** Does the work of one method. What goes wrong becomes STORE_FAILED. @param doing as in 'read a page' */
  async #call<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      const result = await this.#calls.run(work);
      this.#ledger.sweepOnce(() => sweep(this.#ledger, this.#files));
      return result;
    } catch (error) {
      throw storeFailure(doing, this.#ledger.root, error);
    }
  }

  async #end(): Promise<void> {
    dropped.unregister(this);
    try {
      // A hint: what can't be written is forgotten.
      await this.#uses.write().catch(() => undefined);
      await this.#claims.end();
    } catch (error) {
      // Gone with the directory.
      if (codeOf(error) !== 'ESTALE') throw storeFailure('close', this.#ledger.root, error);
    } finally {
      await this.#ledger.leave();
    }
  }
}
