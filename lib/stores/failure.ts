import { LlamaError, messageOf } from '../errors.js';

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
  ENOMEM: 'memory ran out; free some',
  ANOTHER_COPY:
    'another copy of this package in this process has it open, and two copies see none of each other’s locks; see that only one is installed (npm ls llama-sessions), or give each a directory of its own',
  SQLITE_READONLY: 'it is read-only; choose a directory that can be written',
  SQLITE_CANTOPEN: 'the index cannot be opened; look at the files in index/ and their permissions',
  SQLITE_BUSY: 'another process was stopped while it was writing, and still has the lock; let it go on, or end it',
};

/** A directory that is not the one that was opened: nothing of what is read there now, or written, belongs together. */
export function directoryLost(): Error {
  return Object.assign(new Error('The files that were opened are not there any more.'), { code: 'ESTALE' });
}

/** What users see of an error of the file system. @param doing as in 'write a session record' */
export function storeFailure(doing: string, path: string, error: unknown): LlamaError {
  if (error instanceof LlamaError) return error;
  const code = codeOf(error);
  const why = REMEDIES[code ?? ''] ?? `${messageOf(error)}; see \`cause\``;
  return new LlamaError(
    'STORE_FAILED',
    `Could not ${doing} in ${path}: ${why}${code === undefined ? '' : ` (${code})`}.`,
    { cause: error },
  );
}
