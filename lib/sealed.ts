import { createHash } from 'node:crypto';
import { endianness } from 'node:os';

/**
 * A block of bytes that knows its kind, format version and length, and whose damage shows (R12):
 *
 *     8 bytes   kind, ASCII
 *     4 bytes   format version, little-endian
 *     4 bytes   length of the body, little-endian
 *               body
 *     32 bytes  SHA-256 of everything before
 *
 * This frame is the same in all format versions, so that a newer block can be told from a damaged one.
 */
export const PREFIX_BYTES = 16;
const SEAL_BYTES = 32;

/** The block around these parts. @param kind 8 ASCII characters */
export function seal(kind: string, version: number, parts: readonly Uint8Array[]): Uint8Array {
  const bodyBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.write(kind, 'latin1');
  prefix.writeUInt32LE(version, 8);
  prefix.writeUInt32LE(bodyBytes, 12);
  const block = Buffer.concat([prefix, ...parts], PREFIX_BYTES + bodyBytes + SEAL_BYTES);
  sha256(block.subarray(0, -SEAL_BYTES)).copy(block, PREFIX_BYTES + bodyBytes);
  return block;
}

/**
 * The body of a block, as a view into it.
 * @param newest the highest format version that the caller reads
 */
export function unseal(kind: string, newest: number, block: Uint8Array): Uint8Array | 'damaged' | 'newer' {
  if (sealedBytes(kind, block) !== block.byteLength) return 'damaged';
  const end = block.byteLength - SEAL_BYTES;
  if (!sha256(block.subarray(0, end)).equals(block.subarray(end))) return 'damaged';
  const version = view(block).getUint32(8, true);
  if (version > newest) return 'newer';
  return version === 0 ? 'damaged' : block.subarray(PREFIX_BYTES, end);
}

/** How long the block is that begins like this; undefined: no block of that kind. The caller bounds it before it allocates. */
export function sealedBytes(kind: string, beginning: Uint8Array): number | undefined {
  if (beginning.byteLength < PREFIX_BYTES) return undefined;
  if (Buffer.from(beginning.subarray(0, 8)).toString('latin1') !== kind) return undefined;
  return PREFIX_BYTES + view(beginning).getUint32(12, true) + SEAL_BYTES;
}

/** SHA-256 of bytes that are few: it runs on the calling thread. */
export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** Tokens as little-endian bytes, whatever the machine, in memory of their own. */
export function tokenBytes(tokens: Int32Array): Uint8Array {
  return littleEndian(Buffer.from(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)));
}

/** The reverse of `tokenBytes()`. */
export function tokensFrom(bytes: Uint8Array): Int32Array {
  const tokens = new Int32Array(bytes.byteLength / 4);
  const target = Buffer.from(tokens.buffer);
  target.set(bytes);
  littleEndian(target);
  return tokens;
}

function littleEndian(words: Buffer): Buffer {
  return endianness() === 'LE' ? words : words.swap32();
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
