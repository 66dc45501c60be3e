import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { RootDatabase } from 'lmdb';
import { directoryLost, systemError } from './failure.js';
import { makeFolder, remove, syncFolder, writeTemporary } from './files.js';
import { checkHeader } from './header.js';
import { addressSpaceLeft } from './process.js';
import { keys, NOTHING } from './tables.js';
import type { Draft, Key, View } from './view.js';

/** Address space, not memory nor disk: LMDB never has to move a map this large while other threads read it. */
const MAP_BYTES = 2 ** 36;
/** Where a process may take little of that: the rest is for models. LMDB makes its map larger when it is full. */
const MAP_SHARE = 1 / 8;
/** A multiple of all page sizes. */
const MAP_UNIT = 2 ** 20;
/** More than a new index takes. */
const PROBE_BYTES = 2 ** 18;

/**
 * How LMDB is used, and why not otherwise (lmdb 3.5.6):
 * - No JavaScript runs inside a write transaction: `transaction(callback)` holds the lock of all processes while it waits for
 *   this one's event loop, and a process that exits meanwhile hangs or crashes. Instead a batch is prepared beforehand, which
 *   LMDB's thread applies on one condition: nobody else has written since (`commit`).
 * - `eventTurnBatching` would leave a rejected promise that nobody can handle when a commit fails; `batchStartThreshold` would
 *   begin a batch before it is complete.
 * - `overlappingSync` would let readers see, and processes read, what a power failure takes back.
 */
const OPTIONS = {
  keyEncoding: 'binary',
  encoding: 'binary',
  useVersions: true,
  overlappingSync: false,
  eventTurnBatching: false,
  batchStartThreshold: Infinity,
  maxReaders: 1024,
  permissionsMode: 0o600,
} as const;

/** Its version counts the commits. */
const GENERATION = bytesOf(keys.generation());

/** One opening of the LMDB environment in a folder. */
export class Environment implements View {
  readonly #file: string;
  readonly #database: RootDatabase<Buffer, Buffer>;
  /** Which file that is, whatever its name. Nobody else's can be the same one while this is open. */
  readonly identity: string | undefined;

  private constructor(file: string, database: RootDatabase<Buffer, Buffer>) {
    this.#file = file;
    this.#database = database;
    this.identity = identityOf(file);
  }

  /** Makes it where there is none. @param identity of the one that it must be, if it was open before */
  static async open(folder: string, identity?: string): Promise<Environment> {
    // Here and not above, so that a platform without LMDB can use everything else.
    const { open } = await import('lmdb');
    const file = join(folder, 'data.mdb');
    if (identity !== undefined && identityOf(file) !== identity) throw directoryLost();
    await makeFolder(folder, true);
    await checkHeader(file);
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) await probe(folder);
    const database = attempt(() => open<Buffer, Buffer>(folder, { ...OPTIONS, mapSize: mapBytes() }));
    const environment = new Environment(file, database);
    if (environment.identity === undefined) {
      await environment.close();
      throw directoryLost();
    }
    // LMDB syncs its file, not the name of it.
    await syncFolder(folder);
    return environment;
  }

  /** Somebody removed or replaced the files that this has open: what is written now would be lost. They may come back. */
  get isLost(): boolean {
    return identityOf(this.#file) !== this.identity;
  }

  /** The newest state. It stays the same until the caller returns to the event loop. */
  refresh(): this {
    this.#database.resetReadTxn();
    return this;
  }

  get(key: Key): Buffer | undefined {
    return attempt(() => this.#database.getBinary(bytesOf(key)));
  }

  range(from: Key, below: Key, limit: number): [Key, Buffer][] {
    return attempt(() => {
      const entries: [Key, Buffer][] = [];
      const range = { start: bytesOf(from), end: bytesOf(below), ...(Number.isFinite(limit) ? { limit } : {}) };
      for (const { key, value } of this.#database.getRange(range)) {
        // The value lies in memory that the next read overwrites.
        entries.push([Buffer.from(key).toString('latin1'), Buffer.from(value)]);
      }
      return entries;
    });
  }

  /** How often the index has been written. */
  get generation(): number | undefined {
    return attempt(() => this.#database.getEntry(GENERATION)?.version);
  }

  /**
   * Writes what was drafted upon that generation, all of it or nothing.
   * @returns when it is on the disk; false: somebody else has written meanwhile, and the draft may be wrong
   */
  async commit(draft: Draft, generation: number | undefined): Promise<boolean> {
    const absent = null as unknown as number;
    try {
      return await this.#database.ifVersion(GENERATION, generation ?? absent, () => {
        void this.#database.put(GENERATION, NOTHING, (generation ?? 0) + 1);
        for (const [key, value] of draft.changes) {
          if (value === null) void this.#database.remove(bytesOf(key));
          else void this.#database.put(bytesOf(key), value, 0);
        }
      });
    } catch (error) {
      throw systemError(await causeOf(error));
    }
  }

  /** After what is being written. */
  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** LMDB tells why a commit failed by another promise, whose rejection has to be handled too. */
async function causeOf(error: unknown): Promise<unknown> {
  try {
    await (error as { commitError?: Promise<never> } | undefined)?.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}

/** LMDB makes its file larger and then writes through memory: without room for it, that ends the process. */
async function probe(folder: string): Promise<void> {
  await remove(await writeTemporary(folder, [new Uint8Array(PROBE_BYTES)], true));
}

/** Without address space for its map (ulimit -v) lmdb 3.5.6 ends the process with a signal. */
function mapBytes(): number {
  const share = Math.floor((addressSpaceLeft() * MAP_SHARE) / MAP_UNIT) * MAP_UNIT;
  return Math.min(MAP_BYTES, Math.max(MAP_UNIT, share));
}

function attempt<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw systemError(error);
  }
}

function bytesOf(key: Key): Buffer {
  return Buffer.from(key, 'latin1');
}

function identityOf(file: string): string | undefined {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false });
  return found && `${String(found.dev)}:${String(found.ino)}`;
}
