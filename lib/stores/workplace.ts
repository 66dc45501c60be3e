import { readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { LlamaError } from '../errors.js';
import { codeOf, storeFailure } from './failure.js';
import { makeFolder, remove, syncFile, syncFolder, writeTemporary } from './files.js';
import { Later } from './later.js';

/** A temporary file of this age belongs to no living writer. */
const STALE_MS = 3_600_000;

/** The directory of a store: makes it at the first call, knows what is in progress, and ends it. */
export class Workplace {
  /** Absolute. */
  readonly root: string;
  readonly #later = new Later();
  readonly #calls = new Set<Promise<unknown>>();
  #opened: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(path: string) {
    this.root = resolve(path);
  }

  /** Does the work of one method of the store. What goes wrong becomes STORE_FAILED. @param doing as in 'read a page' */
  async call<T>(doing: string, work: () => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) {
      throw new LlamaError('STORE_FAILED', `The store in ${this.root} is closed; open another one to go on.`);
    }
    const call = this.#open().then(work);
    this.#calls.add(call);
    try {
      return await call;
    } catch (error) {
      throw storeFailure(doing, this.root, error);
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Writes a temporary file on the file system of the store. @returns its path; the caller moves or removes it */
  async write(parts: readonly Uint8Array[], durable: boolean): Promise<string> {
    // A background write that failed is reported by the next write: no other promise is there to reject.
    this.#later.check();
    const folder = join(this.root, 'tmp');
    try {
      return await writeTemporary(folder, parts, durable);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      // Somebody removed the directory under us: make it again, once.
      await this.#prepare();
      return writeTemporary(folder, parts, durable);
    }
  }

  /** Brings a file and its name to the disk within a second, then does the rest. No effect if it was deleted meanwhile. */
  settleLater(path: string, then?: () => Promise<void>): void {
    this.#later.add(path, async () => {
      try {
        await syncFile(path);
        await syncFolder(dirname(path));
        await then?.();
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error;
      }
    });
  }

  /** Waits for what is in progress and brings everything to the disk. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      await Promise.allSettled(this.#calls);
      try {
        await this.#later.finish();
      } catch (error) {
        throw storeFailure('bring what was written to the disk', this.root, error);
      }
    })();
    return this.#closed;
  }

  /** Once; after a failure the next call tries again. */
  #open(): Promise<void> {
    this.#opened ??= this.#prepare().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  async #prepare(): Promise<void> {
    const temporaries = join(this.root, 'tmp');
    await makeFolder(temporaries, true);
    for (const name of await readdir(temporaries)) {
      const path = join(temporaries, name);
      const found = await stat(path).catch(() => undefined);
      // What can't be removed harms nobody.
      if (found !== undefined && found.mtimeMs < Date.now() - STALE_MS) await remove(path).catch(() => false);
    }
  }
}
