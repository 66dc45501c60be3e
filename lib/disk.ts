/**
 * Node's file functions as promises, by callbacks. Those of node:fs/promises make their request in C++: where a worker is being
 * terminated at that moment, Node goes on without one, and the whole process ends (Node 20, once in some hundred terminations).
 */
import fs, { type Stats } from 'node:fs';
import { promisify } from 'node:util';

export const mkdir: typeof fs.mkdir.__promisify__ = promisify(fs.mkdir);
export const readdir: (path: string) => Promise<string[]> = promisify(fs.readdir);
export const readFile: (path: string, encoding: 'utf8') => Promise<string> = promisify(fs.readFile);
export const rename: (from: string, to: string) => Promise<void> = promisify(fs.rename);
export const stat: (path: string) => Promise<Stats> = promisify(fs.stat);
export const unlink: (path: string) => Promise<void> = promisify(fs.unlink);

const openDescriptor: (path: string, flags: string, mode?: number) => Promise<number> = promisify(fs.open);
const fsRead = promisify(fs.read);
const fsWrite = promisify(fs.write);
const fsStat: (descriptor: number) => Promise<Stats> = promisify(fs.fstat);
const fsSync = promisify(fs.fsync);
const fsClose = promisify(fs.close);

/** Opens a file; whoever does closes it. */
export async function open(path: string, flags: string, mode?: number): Promise<OpenFile> {
  return new OpenFile(await openDescriptor(path, flags, mode));
}

/** A file that is open. */
export class OpenFile {
  readonly #descriptor: number;

  /** Made by `open()`. */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** May read less. @param at in the buffer @param position in the file */
  async read(buffer: Uint8Array, at: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return fsRead(this.#descriptor, buffer, at, length, position);
  }

  /** Where it wrote last; may write less. @param at in the buffer */
  async write(buffer: Uint8Array, at: number, length: number): Promise<{ bytesWritten: number }> {
    return fsWrite(this.#descriptor, buffer, at, length, null);
  }

  stat(): Promise<Stats> {
    return fsStat(this.#descriptor);
  }

  /** Brings what was written to the disk. */
  sync(): Promise<void> {
    return fsSync(this.#descriptor);
  }

  close(): Promise<void> {
    return fsClose(this.#descriptor);
  }
}
