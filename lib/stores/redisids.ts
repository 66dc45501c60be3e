import type { RecordFilter } from './store.js';
import { afterAll, narrow, wide } from './tables.js';

/** An id as the server knows it: its bytes sort as in the index of a directory. */
export function idBytes(id: string): Buffer {
  return Buffer.from(wide(id), 'latin1');
}

export function idOf(bytes: Buffer): string {
  return narrow(bytes.toString('latin1'));
}

/** The ends of a listing, as ZRANGEBYLEX has them: `[` belongs to it, `(` does not. */
export function lexRange({ prefix = '', after }: RecordFilter): [least: Buffer, most: Buffer] {
  const first = wide(prefix);
  const least = after === undefined || wide(after) < first ? `[${first}` : `(${wide(after)}`;
  const behind = afterAll(`(${first}`);
  const most = behind.startsWith('(') ? behind : '+'; // nothing comes after the last string there could be
  return [Buffer.from(least, 'latin1'), Buffer.from(most, 'latin1')];
}
