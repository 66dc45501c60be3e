import { getSystemErrorName } from 'node:util';
import { LlamaError } from '../errors.js';

/** The `code` of a Node error, or undefined. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space',
  EIO: 'the disk failed or is full; free some space, and look at the log of the system',
  EDQUOT: 'the disk quota is used up; free some space or raise it',
  EACCES: 'this process lacks the permission; give it read and write access, or choose another directory',
  EPERM: 'the system does not permit it; check the permissions',
  EROFS: 'the file system is read-only; choose a directory that can be written',
  ENOTDIR: 'a file is where a directory should be; move it away, or choose another directory',
  EEXIST: 'a file is where a directory should be; move it away, or choose another directory',
  EISDIR: 'a directory is where a file should be; choose another path',
  ENOENT: 'the directory is not there; create it, or mount its disk',
  ESTALE:
    'the directory was removed or replaced while it was open; put it back to go on, or load the model again (a new store) to begin in a new one',
  EMFILE: 'this process has too many files open; raise its limit (ulimit -n)',
  ENFILE: 'the system has too many files open; raise its limit',
  MDB_CORRUPTED: 'the index is damaged; restore the directory from a copy, or move it away',
  MDB_INVALID: 'the index is damaged; restore the directory from a copy, or move it away',
  MDB_MAP_FULL: 'the index is full; the address space of this process is limited (ulimit -v)',
  MDB_READERS_FULL: 'more than 1,024 threads have the index open; close some',
};

/** Codes of LMDB's own errors that a user can do something about. */
const LMDB_CODES: Readonly<Record<number, string>> = {
  [-30796]: 'MDB_CORRUPTED',
  [-30793]: 'MDB_INVALID',
  [-30792]: 'MDB_MAP_FULL',
  [-30790]: 'MDB_READERS_FULL',
};

/** An error of LMDB, which has a number as its code, with a code as Node's errors have. */
export function systemError(error: unknown): unknown {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  if (!(error instanceof Error) || typeof code !== 'number') return error;
  const name = LMDB_CODES[code] ?? (code > 0 ? getSystemErrorName(-code) : undefined);
  return name === undefined ? error : Object.assign(new Error(error.message, { cause: error }), { code: name });
}

/** A directory that is not the one that was opened: nothing of what is read there now, or written, belongs together. */
export function directoryLost(): Error {
  return Object.assign(new Error('The files that were opened are not there any more.'), { code: 'ESTALE' });
}

/** What users see of an error of the file system. @param doing as in 'write a session record' */
export function storeFailure(doing: string, path: string, error: unknown): LlamaError {
  if (error instanceof LlamaError) return error;
  const code = codeOf(error);
  const why = REMEDIES[code ?? ''] ?? `${error instanceof Error ? error.message : String(error)}; see \`cause\``;
  return new LlamaError(
    'STORE_FAILED',
    `Could not ${doing} in ${path}: ${why}${code === undefined ? '' : ` (${code})`}.`,
    { cause: error },
  );
}
