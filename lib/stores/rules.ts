/** What the stores of this package do alike. */
import { integer, options, refusal, text, type Check } from '../checks.js';
import { LlamaError } from '../errors.js';
import type { RecordFilter } from './store.js';

export const checkPageBytes: Check = integer(0, Number.MAX_SAFE_INTEGER);

/** The options of a store that has a budget of pages. */
export const checkStoreOptions: Check = options({ pageBytes: checkPageBytes });

/** Records of one listing that are read in one go. */
const LISTED_AT_ONCE = 256;

/** The path of a directory. An empty one would be the working directory. */
export const checkPath: Check = (name, value) => {
  text(1, Infinity)(name, value);
  if ((value as string).includes('\0')) throw new RangeError(refusal(name, 'a string without NUL characters', value));
};

/** The refusal of a write whose writer has not read the newest version. @param stored 0: there is none */
export function conflict(expected: number, stored: number): LlamaError {
  const found = stored === 0 ? 'no record is stored' : `version ${String(stored)} is stored`;
  const message = `The session was changed elsewhere (${found}, version ${String(expected)} was expected); resume it and send again.`;
  return new LlamaError('SESSION_CONFLICT', message);
}

/** The refusal where another owner, who lives, has claimed it. */
export function claimedElsewhere(): LlamaError {
  const message =
    'Another process or store has claimed this session; close it there, or take it over: resumeSession(id, { takeOver: true }).';
  return new LlamaError('SESSION_CONFLICT', message);
}

/** A copy in memory of its own; `slice()` of a Buffer would share it. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.byteLength;
  }
  return whole;
}

/** What the parts make up, in pieces of that size but for the last one, which may be empty where it is the only one. */
export function* piecesOf(parts: readonly Uint8Array[], size: number): Generator<Uint8Array> {
  let piece: Uint8Array[] = [];
  let room = size;
  for (const part of parts) {
    for (let at = 0; at < part.byteLength;) {
      if (room === 0) {
        yield join(piece);
        piece = [];
        room = size;
      }
      const some = part.subarray(at, at + room);
      piece.push(some);
      at += some.byteLength;
      room -= some.byteLength;
    }
  }
  yield join(piece);
}

/** A listing that is read in portions. @param read the first ones of those, at most `most` */
export async function* inPortions<T extends { id: string }>(
  filter: RecordFilter,
  read: (filter: RecordFilter, most: number) => Promise<readonly T[]>,
): AsyncGenerator<T, void> {
  let { after } = filter;
  let left = filter.limit ?? Infinity;
  while (left > 0) {
    const most = Math.min(left, LISTED_AT_ONCE);
    const records = await read(after === undefined ? filter : { ...filter, after }, most);
    yield* records;
    if (records.length < most) return;
    left -= most;
    after = records.at(-1)?.id;
  }
}
