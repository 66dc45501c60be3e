import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { readdir } from '../disk.js';
import { codeOf } from './failure.js';
import { makeFolder, moveTo, readWhole, remove, sizeOf, syncFile, syncFolder, writeFile } from './files.js';
import { nameOf, parseName, self, type ProcessName } from './process.js';

const PAGE_FILE = /^[0-9a-f]{64}-[0-9a-f]{16}$/;

/** A file in tmp/, and who writes it. */
export interface Unfinished {
  path: string;
  /** What it will be called in pages/. */
  file: string;
  writer: ProcessName;
}

/** A file that is there. */
interface Found {
  path: string;
  bytes: number;
}

/**
 * The files of pages:
 *
 *     pages/<2 hex>/<hash>-<random>
 *     tmp/<the same>.<writer>         until the index knows it
 *
 * The index comes first: a file is in pages/ only after the index named it, and is removed only after the index forgot it. As
 * each name is used once, whoever finds a file there that the index doesn't know may remove it, and needs no lock for that.
 */
export class PageFiles {
  readonly #pages: string;
  readonly #unfinished: string;

  constructor(root: string) {
    this.#pages = join(root, 'pages');
    this.#unfinished = join(root, 'tmp');
  }

  /** Writes a page to tmp/. @returns the name it will have; `finish()` or `abandon()` it */
  async write(hash: string, parts: readonly Uint8Array[], durable: boolean): Promise<string> {
    const file = `${Buffer.from(hash, 'latin1').toString('hex')}-${randomBytes(8).toString('hex')}`;
    await makeFolder(this.#unfinished, false);
    await writeFile(this.#temporary(file), parts, durable);
    return file;
  }

  /** Puts what was written into its place, once the index knows it. */
  async finish(file: string, durable: boolean): Promise<void> {
    const path = this.#path(file);
    await makeFolder(dirname(path), durable);
    await moveTo(this.#temporary(file), path);
    if (durable) await syncFolder(dirname(path));
  }

  /** Removes what was written to tmp/. What can't be removed is swept later. */
  async abandon(file: string): Promise<void> {
    await remove(this.#temporary(file)).catch(() => false);
  }

  /** Undefined when it is not there. */
  async read(file: string): Promise<Uint8Array | undefined> {
    const bytes = await readWhole(this.#path(file));
    if (bytes !== undefined) return bytes;
    const found = await this.#find(file);
    return found && ((await readWhole(found.path)) ?? readWhole(this.#path(file)));
  }

  /** Whether it is in its place, or on the way there. A power failure may have taken its end: then it is not. */
  async has({ file, bytes }: { file: string; bytes: number }): Promise<boolean> {
    return (await this.#find(file))?.bytes === bytes;
  }

  /** Brings it to the disk. */
  sync(file: string): Promise<void> {
    return syncFile(this.#path(file));
  }

  /** Removes files that the index has forgotten. What can't be removed is swept later. @returns how many were there */
  async remove(files: readonly string[]): Promise<number> {
    const removed = await Promise.all(files.map((file) => remove(this.#path(file)).catch(() => false)));
    return removed.filter(Boolean).length;
  }

  /** Names of all files in pages/, shard by shard. */
  async *stored(): AsyncGenerator<string[]> {
    for (const shard of await names(this.#pages)) {
      yield (await names(join(this.#pages, shard))).filter((name) => PAGE_FILE.test(name) && name.startsWith(shard));
    }
  }

  /** All files in tmp/ whose writer is known. */
  async unfinished(): Promise<Unfinished[]> {
    return (await names(this.#unfinished)).flatMap((name) => {
      const [file = '', writer = ''] = name.split('.');
      const parsed = parseName(writer);
      return parsed && PAGE_FILE.test(file) ? [{ path: join(this.#unfinished, name), file, writer: parsed }] : [];
    });
  }

  /** In this order: a file that moves from tmp/ to pages/ meanwhile is seen in one of them. */
  async #find(file: string): Promise<Found | undefined> {
    const path = this.#path(file);
    const inPlace = await look(path);
    if (inPlace !== undefined) return inPlace;
    const unfinished = (await this.unfinished()).find((each) => each.file === file);
    return (unfinished && (await look(unfinished.path))) ?? look(path);
  }

  #path(file: string): string {
    return join(this.#pages, file.slice(0, 2), file);
  }

  #temporary(file: string): string {
    return join(this.#unfinished, `${file}.${nameOf(self)}`);
  }
}

async function look(path: string): Promise<Found | undefined> {
  const bytes = await sizeOf(path);
  return bytes === undefined ? undefined : { path, bytes };
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}
