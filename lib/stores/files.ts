/**
 * Files that are whole or not there. Everything of this package that reaches a disk goes through here; errors come as Node
 * makes them, `storeFailure()` turns them into what users see.
 */
import { randomBytes } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { mkdir, open, rename, stat, unlink, type OpenFile } from '../disk.js';
import { codeOf } from './failure.js';

/** Bytes per read or write: a call of 100 MB would keep one of the pool's few threads for as long. */
const CHUNK = 2 ** 24;
/** Waits before a rename or removal is tried again: 0.6 s in all, what virus scanners and indexers take. */
const BACKOFF_MS: readonly number[] = [10, 20, 40, 80, 150, 300];

/** Makes a folder and those above it, readable by this user only. @param durable returns after their entries are on the disk */
export async function makeFolder(path: string, durable: boolean): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined || !durable) return;
  const top = dirname(resolve(first));
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    await syncFolder(folder);
    if (folder === top || folder === dirname(folder)) return;
  }
}

/** What a file is written from. */
type Parts = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a new file under a name that nobody can guess, to be renamed to its place.
 * @param durable returns after its bytes are on the disk
 * @returns its path; on failure nothing stays behind
 */
export async function writeTemporary(folder: string, parts: Parts, durable: boolean): Promise<string> {
  const path = join(folder, `.${randomBytes(16).toString('hex')}.tmp`);
  await writeFile(path, parts, durable);
  return path;
}

/** Writes a new file. @param durable returns after its bytes are on the disk */
export async function writeFile(path: string, parts: Parts, durable: boolean): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    try {
      for await (const part of parts) await writeAll(file, part);
      if (durable) await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    // The first error is the one to report; a full or dying disk may well fail here too.
    await remove(path).catch(() => false);
    throw error;
  }
}

async function writeAll(file: Pick<OpenFile, 'write'>, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength;) {
    const { bytesWritten } = await file.write(bytes, offset, Math.min(CHUNK, bytes.byteLength - offset));
    offset += bytesWritten;
  }
}

/** The whole file in memory of its own, or undefined when it is not there. @param most bytes to read from its beginning */
export async function readWhole(path: string, most: number = Infinity): Promise<Uint8Array | undefined> {
  const file = await openToRead(path);
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    return await readAt(file, 0, Math.min(size, most));
  } finally {
    await file.close();
  }
}

/** A file opened to read, or undefined when it is not there. The caller closes it. */
export async function openToRead(path: string): Promise<OpenFile | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** So many bytes from there; fewer where the file ends before. */
export async function readAt(file: Pick<OpenFile, 'read'>, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, Math.min(CHUNK, length - filled), position + filled);
    if (bytesRead === 0) return bytes.subarray(0, filled);
    filled += bytesRead;
  }
  return bytes;
}

/** Puts a file in its place, replacing what is there. Atomic on one file system. */
export async function moveTo(from: string, to: string): Promise<void> {
  await retryBusy(() => rename(from, to));
}

/** Bytes of a file, or undefined when it is not there. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Removes a file. False: it was not there. */
export async function remove(path: string): Promise<boolean> {
  try {
    await retryBusy(() => unlink(path));
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Windows refuses to move or remove a file that a scanner has open just now. */
export async function retryBusy<T>(action: () => Promise<T>): Promise<T> {
  for (const wait of BACKOFF_MS) {
    try {
      return await action();
    } catch (error) {
      if (!['EPERM', 'EBUSY', 'EACCES'].includes(codeOf(error) ?? '')) throw error;
      // Elsewhere it means a lack of permission, which waiting doesn't cure.
      if (process.platform !== 'win32' && codeOf(error) !== 'EBUSY') throw error;
    }
    await pause(wait);
  }
  return action();
}

/** Brings a file that was written before to the disk. One that is gone was replaced by another that is. */
export async function syncFile(path: string): Promise<void> {
  await syncOpened(path, 'r+', ['ENOENT']);
}

/** Brings the names in a folder to the disk. No effect where the system can't: Windows, some network file systems. */
export async function syncFolder(path: string): Promise<void> {
  const unable = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'];
  if (process.platform === 'win32') unable.push('EPERM', 'EISDIR', 'EACCES', 'EBADF');
  await syncOpened(path, 'r', unable);
}

async function syncOpened(path: string, flags: string, ignored: readonly string[]): Promise<void> {
  try {
    const file = await open(path, flags);
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!ignored.includes(codeOf(error) ?? '')) throw error;
  }
}
