import { LlamaError } from '../errors.js';

/** The `code` of a Node error, or undefined. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free some space',
  EDQUOT: 'the disk quota is used up; free some space or raise it',
  EACCES: 'this process lacks the permission; give it read and write access, or choose another directory',
  EPERM: 'the system does not permit it; check the permissions, and that the file system has hard links',
  EROFS: 'the file system is read-only; choose a directory that can be written',
  ENOTDIR: 'a file is where a directory should be; move it away, or choose another directory',
  EEXIST: 'a file is where a directory should be; move it away, or choose another directory',
  EISDIR: 'a directory is where a file should be; choose another path',
  ENOENT: 'the directory is not there; create it, or mount its disk',
  EMFILE: 'this process has too many files open; raise its limit (ulimit -n)',
  ENFILE: 'the system has too many files open; raise its limit',
  ENOTSUP: 'the file system has no hard links; choose a directory on another one',
  EOPNOTSUPP: 'the file system has no hard links; choose a directory on another one',
};

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
