import { link, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LlamaError } from '../errors.js';
import { openEnvelope, type Label } from './envelope.js';
import { codeOf } from './failure.js';
import { makeFolder, openToRead, readAt, readWhole, remove, retryBusy } from './files.js';
import { conflict } from './rules.js';

/** The newest version of a record. */
export interface Newest {
  version: number;
  label: Label;
  /** The record without its envelope. */
  bytes: Uint8Array;
}

/** Tries against others who write and delete the same record at the same time; each try is lost only when one of them wins. */
const TRIES = 20;
/** Holds the labels that are usual, so that one read finds one. */
const HEAD_BYTES = 4096;

/**
 * One folder holds the versions of one record, `<version>.record`. Rules, on which the compare-and-set stands:
 * 1. A version appears whole: it is linked from a finished file, and `link` fails where the name is taken, in any process.
 * 2. The highest version is the record. It goes away by a delete only.
 * 3. The version before the highest stays. A writer that was overtaken by two and finds its name free again sees a version two
 *    above its own, or misses its predecessor: it lost.
 * 4. Who deletes takes the lowest first: no reader ever sees an older version than before.
 * A file can be torn only by a power failure under a durability less than 'always': then the version below it counts.
 */
export class Versions {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The whole record, or undefined when there is none. */
  async newest(): Promise<Newest | undefined> {
    return this.#newest(async (path) => {
      const file = await readWhole(path);
      if (file === undefined) return undefined;
      const opened = openEnvelope(file, file.byteLength);
      return typeof opened === 'string'
        ? opened
        : { label: opened.label, bytes: file.subarray(opened.start, opened.end) };
    });
  }

  /** Only what its label says, which costs one small read. */
  async label(): Promise<Label | undefined> {
    const newest = await this.#newest(async (path) => {
      const file = await openToRead(path);
      if (file === undefined) return undefined;
      try {
        const { size } = await file.stat();
        let opened = openEnvelope(await readAt(file, 0, Math.min(size, HEAD_BYTES)), size);
        if (opened === 'short') opened = openEnvelope(await readAt(file, 0, size), size);
        return typeof opened === 'string' ? opened : { label: opened.label, bytes: new Uint8Array() };
      } finally {
        await file.close();
      }
    });
    return newest?.label;
  }

  /** @throws LlamaError SESSION_CONFLICT when the newest version is another; removes torn files above it */
  async expect(expected: number): Promise<void> {
    const found = await this.#list();
    if ((found[0] ?? 0) === expected) return;
    const newest = (await this.newest())?.version ?? 0;
    if (newest !== expected) throw conflict(expected, newest);
    for (const torn of found.filter((version) => version > expected)) await remove(this.path(torn));
  }

  /**
   * Makes this file the version after `expected`; its temporary name stays.
   * @throws LlamaError SESSION_CONFLICT when somebody else was faster
   */
  async add(temporary: string, expected: number, durable: boolean): Promise<void> {
    const version = expected + 1;
    await this.#link(temporary, version, durable);
    const found = await this.#list();
    const overtaken = found.some((other) => other > version + 1);
    const rooted = expected === 0 || found.includes(expected) || found.includes(version + 1);
    if (!overtaken && rooted) return;
    // Perhaps it was in time, and two others have built on it since: then it is no loss that its file goes.
    await remove(this.path(version));
    throw conflict(expected, found[0] === version ? 0 : (found[0] ?? 0));
  }

  /** Removes what rule 3 does not keep. */
  async tidy(newest: number): Promise<void> {
    const found = await this.#list();
    // The highest may be lower than ours by now: deleted, and made again from 1 on.
    const kept = Math.min(newest, found[0] ?? 0) - 1;
    for (const version of found.filter((other) => other < kept)) await remove(this.path(version));
  }

  /** False: there was nothing. */
  async delete(): Promise<boolean> {
    let deleted = false;
    for (let tries = 0; tries < TRIES; tries++) {
      const found = await this.#list();
      for (const version of found.reverse()) deleted = (await remove(this.path(version))) || deleted;
      try {
        await retryBusy(() => rmdir(this.#folder));
        return deleted;
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return deleted;
        if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
        // Either a version that was just written, which goes too, or a stranger's file, which stays.
        if ((await this.#list()).length === 0) return deleted;
      }
    }
    throw new LlamaError(
      'STORE_FAILED',
      `Others keep writing ${this.#folder} while it is deleted; stop them, then delete again.`,
    );
  }

  /** Of that version's file. */
  path(version: number): string {
    return join(this.#folder, `${String(version)}.record`);
  }

  async #link(temporary: string, version: number, durable: boolean): Promise<void> {
    for (let tries = 1; ; tries++) {
      if (version === 1) await makeFolder(this.#folder, durable);
      try {
        await link(temporary, this.path(version));
        return;
      } catch (error) {
        if (codeOf(error) === 'EEXIST') throw conflict(version - 1, version);
        if (codeOf(error) !== 'ENOENT') throw error;
        // The folder was deleted: with it went the version that we expect. A new record just makes it again.
        if (version > 1) throw conflict(version - 1, 0);
        if (tries === TRIES) throw error;
      }
    }
  }

  async #newest(
    read: (path: string) => Promise<Pick<Newest, 'label' | 'bytes'> | string | undefined>,
  ): Promise<Newest | undefined> {
    for (let tries = 0; tries < TRIES; tries++) {
      const found = await this.#list();
      if (found.length === 0) return undefined;
      for (const version of found) {
        const result = await read(this.path(version));
        // Replaced since it was listed: look again.
        if (result === undefined) break;
        if (typeof result === 'object') return { version, ...result };
        if (result !== 'torn' || version === found.at(-1)) throw damaged(this.path(version));
      }
    }
    throw new LlamaError(
      'STORE_FAILED',
      `Others replace the record in ${this.#folder} faster than it can be read; try again.`,
    );
  }

  /** Highest first; empty when the folder isn't there. */
  async #list(): Promise<number[]> {
    try {
      const names = await readdir(this.#folder);
      const versions = names.map((name) => Number(/^([1-9]\d{0,15})\.record$/.exec(name)?.[1] ?? 0));
      return versions.filter((version) => version > 0).sort((a, b) => b - a);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

function damaged(path: string): LlamaError {
  return new LlamaError('STORE_FAILED', `The record file ${path} is damaged; restore it from a copy, or move it away.`);
}
