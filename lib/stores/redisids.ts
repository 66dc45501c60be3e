import type { RecordFilter } from './store.js';

/** An id as UTF-16, big-endian: sorts by bytes as JavaScript does, and keeps unpaired surrogates apart. */
export function idBytes(id: string): Buffer {
  return Buffer.from(id, 'utf16le').swap16();
}

export function idOf(bytes: Buffer): string {
  return Buffer.from(bytes).swap16().toString('utf16le');
}

/** The ends of a listing, as ZRANGEBYLEX has them: `[` belongs to it, `(` does not. */
export function lexRange({ prefix = '', after }: RecordFilter): [least: Buffer, most: Buffer] {
  const first = idBytes(prefix);
  const last = after === undefined ? undefined : idBytes(after);
  const least = last === undefined || last.compare(first) < 0 ? end('[', first) : end('(', last);
  // The first string behind all that begin so.
  let length = first.length;
  while (length > 0 && first[length - 1] === 0xff) length--;
  if (length === 0) return [least, Buffer.from('+')];
  const behind = Buffer.from(first.subarray(0, length));
  behind[length - 1] = (behind[length - 1] ?? 0) + 1;
  return [least, end('(', behind)];
}

function end(bracket: '[' | '(', bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(bracket), bytes]);
}
