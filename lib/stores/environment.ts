import { statSync } from 'node:fs';
import { join } from 'node:path';
import { addon } from '../binding.js';
import { LlamaError } from '../errors.js';
import type { NativeIndex } from '../native.js';
import { codeOf, directoryLost } from './failure.js';
import { makeFolder, syncFolder } from './files.js';
import { nameOf, self } from './process.js';
import { keys } from './tables.js';
import type { Draft, Key, View } from './view.js';

/** Counts the commits. */
const GENERATION = keys.generation();

/** One opening of the index in a folder. No JavaScript runs while its lock is held: a process may end, or stop, at any moment. */
export class Environment implements View {
  readonly #file: string;
  readonly #index: NativeIndex;
  /** Which file that is, whatever its name. Nobody else's can be the same one while this is open. */
  readonly identity: string | undefined;

  private constructor(file: string, index: NativeIndex) {
    this.#file = file;
    this.#index = index;
    this.identity = identityOf(file);
  }

  /** Makes it where there is none. @param identity of the one that it must be, if it was open before */
  static async open(folder: string, identity?: string): Promise<Environment> {
    const file = join(folder, 'index.db');
    if (identity !== undefined && identityOf(file) !== identity) throw directoryLost();
    await makeFolder(folder, true);
    const index = new (addon().Index)();
    await index.open(file, nameOf(self)).catch(failIn(file));
    const environment = new Environment(file, index);
    if (environment.identity === undefined) {
      await environment.close();
      throw directoryLost();
    }
    await syncFolder(folder);
    return environment;
  }

  /** Somebody removed or replaced the files that this has open: what is written now would be lost. They may come back. */
  get isLost(): boolean {
    return identityOf(this.#file) !== this.identity;
  }

  /** Reads in the newest state, which stays the same until the work is done. */
  read<T>(work: (view: this) => T): T {
    this.#index.beginReading();
    try {
      return work(this);
    } catch (error) {
      return failIn(this.#file)(error);
    } finally {
      this.#index.endReading();
    }
  }

  get(key: Key): Buffer | undefined {
    return this.#index.get(key);
  }

  range(from: Key, below: Key, limit: number): [Key, Buffer][] {
    return this.#index.range(from, below, Math.min(limit, Number.MAX_SAFE_INTEGER));
  }

  /** How often the index has been written. */
  get generation(): number {
    return this.get(GENERATION)?.readDoubleBE() ?? 0;
  }

  /**
   * Writes what was drafted upon that generation, all of it or nothing.
   * @returns when it is on the disk; false: somebody else has written meanwhile, and the draft may be wrong
   */
  commit(draft: Draft, generation: number): Promise<boolean> {
    const expected = generation === 0 ? null : bytesOf(generation);
    const changes = [GENERATION, bytesOf(generation + 1), ...[...draft.changes].flat()];
    return this.#index.commit(GENERATION, expected, changes).catch(failIn(this.#file));
  }

  /** After what is being written. */
  close(): Promise<void> {
    return this.#index.close();
  }
}

const FLAWS: Readonly<Record<string, string>> = {
  SQLITE_NOTADB: 'is no index of this version',
  SQLITE_CORRUPT: 'is damaged',
};

/** Throws what SQLite threw; what is wrong with the file itself as STORE_FAILED, with its path. */
function failIn(file: string): (error: unknown) => never {
  return (error) => {
    const flaw = FLAWS[codeOf(error) ?? ''];
    if (flaw === undefined) throw error;
    const remedy = 'restore the directory from a copy, or move it away to begin a new one';
    throw new LlamaError('STORE_FAILED', `The file ${file} ${flaw}; ${remedy}.`, { cause: error });
  };
}

function bytesOf(generation: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(generation);
  return bytes;
}

function identityOf(file: string): string | undefined {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false });
  return found && `${String(found.dev)}:${String(found.ino)}`;
}
