import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import { LlamaError } from '../errors.js';
import { join, piecesOf } from './rules.js';

/**
 * Something encrypted (AES-256-GCM in chunks, as STREAM has it: Hoang, Reyhanitabar, Rogaway, Vizár, 2015):
 *
 *     8 bytes   what it is, ASCII
 *     1 byte    length of the key's id
 *               the key's id, UTF-8
 *     32 bytes  salt, of this one alone: its key is the HKDF-SHA256 of the ring's key and the salt
 *               chunks of 256 KiB, the last one shorter, perhaps empty; 16 bytes behind each authenticate it
 *
 * A chunk's nonce is its number and whether it is the last one: none can be lost, repeated, moved or cut off. What all of this is,
 * and whose, is authenticated with each: one can't be put in another's place.
 */
const MAGIC = Buffer.from('llamcryp', 'latin1');
const SALT_BYTES = 32;
const TAG_BYTES = 16;
/** Some tenths of a millisecond of the event loop. */
const CHUNK_BYTES = 2 ** 18;
const CIPHER = 'aes-256-gcm';
/** Or a shorter one, which is easier to guess, would do. */
const TAG = { authTagLength: TAG_BYTES };

/** AES-256 keys by id; `current` encrypts, the others can still decrypt. */
export interface KeyRing {
  current: string;
  /** 32 bytes each; ids of 1 to 255 bytes. */
  keys: Record<string, Uint8Array>;
}

/** What keeps somebody's bytes from being taken for something else. */
export interface Purpose {
  kind: 'record' | 'info' | 'page';
  name: string;
}

/** Keys in use: a copy, so that the user may wipe his. */
export class Keys {
  readonly #current: string;
  readonly #key: Buffer;
  readonly #keys: ReadonlyMap<string, Buffer>;
  /** For the names of pages, the current one first. */
  readonly #naming: readonly Buffer[];

  /** @param ring that was checked */
  constructor({ current, keys }: KeyRing) {
    this.#current = current;
    this.#keys = new Map(Object.entries(keys).map(([id, key]) => [id, Buffer.from(key)]));
    this.#key = this.#keys.get(current) as Buffer;
    const others = [...this.#keys.values()].filter((key) => key !== this.#key);
    this.#naming = [this.#key, ...others].map((key) => derive(key, Buffer.alloc(0), 'names of pages'));
  }

  /** Names of a page that tell nobody else what it holds: by each key, the current one first. */
  namesOf(page: string): string[] {
    return this.#naming.map((key) => createHmac('sha256', key).update(page, 'utf16le').digest('hex'));
  }

  /** @param parts of the whole, in order; they may change afterwards */
  async encrypt(purpose: Purpose, parts: readonly Uint8Array[]): Promise<Uint8Array> {
    const id = Buffer.from(this.#current);
    const salt = randomBytes(SALT_BYTES);
    const header = Buffer.concat([MAGIC, Buffer.of(id.byteLength), id, salt]);
    const key = derive(this.#key, salt, 'content');
    const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    const chunks = Math.max(1, Math.ceil(bytes / CHUNK_BYTES));
    const encrypted = [header];
    for (const piece of piecesOf(parts, CHUNK_BYTES)) {
      const i = encrypted.length - 1;
      if (i > 0) await turnOfEventLoop();
      const cipher = createCipheriv(CIPHER, key, nonce(i, i === chunks - 1), TAG);
      cipher.setAAD(context(header, purpose));
      encrypted.push(Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]));
    }
    return join(encrypted);
  }

  /**
   * The reverse of `encrypt()`.
   * @throws LlamaError KEY_NOT_FOUND; SNAPSHOT_CORRUPT when somebody or something changed it, or put it in another one's place
   */
  async decrypt(purpose: Purpose, encrypted: Uint8Array): Promise<Uint8Array> {
    const id = keyOf(encrypted);
    if (id === undefined) throw corrupt('it is not encrypted: without `encryption` a model can read and export it');
    const key = this.#keys.get(id);
    if (key === undefined) throw missing(id);
    const start = MAGIC.byteLength + 1 + Buffer.byteLength(id) + SALT_BYTES;
    const header = encrypted.subarray(0, start);
    const contentKey = derive(key, header.subarray(-SALT_BYTES), 'content');
    const chunks = Math.ceil((encrypted.byteLength - start) / (CHUNK_BYTES + TAG_BYTES));
    const lastBytes = encrypted.byteLength - start - (chunks - 1) * (CHUNK_BYTES + TAG_BYTES) - TAG_BYTES;
    if (chunks === 0 || lastBytes < 0) throw corrupt('it is cut off');
    const decrypted = new Uint8Array((chunks - 1) * CHUNK_BYTES + lastBytes);
    for (let i = 0; i < chunks; i++) {
      if (i > 0) await turnOfEventLoop();
      const from = start + i * (CHUNK_BYTES + TAG_BYTES);
      const chunk = encrypted.subarray(from, from + CHUNK_BYTES + TAG_BYTES);
      const decipher = createDecipheriv(CIPHER, contentKey, nonce(i, i === chunks - 1), TAG);
      decipher.setAAD(context(header, purpose));
      decipher.setAuthTag(chunk.subarray(-TAG_BYTES));
      decrypted.set(decipher.update(chunk.subarray(0, -TAG_BYTES)), i * CHUNK_BYTES);
      try {
        decipher.final();
      } catch (error) {
        throw corrupt('it was changed, or is another one’s', error);
      }
    }
    return decrypted;
  }
}

/** The id of the key that encrypted it; undefined: it is not encrypted. */
export function keyOf(bytes: Uint8Array): string | undefined {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!whole.subarray(0, MAGIC.byteLength).equals(MAGIC)) return undefined;
  const length = whole[MAGIC.byteLength] ?? 0;
  const begin = MAGIC.byteLength + 1;
  return whole.byteLength < begin + length + SALT_BYTES ? undefined : whole.toString('utf8', begin, begin + length);
}

/** What is said of a record whose key is not there. */
export function missing(id: string): LlamaError {
  return new LlamaError(
    'KEY_NOT_FOUND',
    `The session is encrypted with the key '${id}'; load the model with \`encryption\` that has it.`,
  );
}

function derive(key: Uint8Array, salt: Uint8Array, what: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, `llama-sessions: ${what}`, 32));
}

function nonce(chunk: number, isLast: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(chunk, 7);
  bytes[11] = isLast ? 1 : 0;
  return bytes;
}

function context(header: Uint8Array, { kind, name }: Purpose): Buffer {
  return Buffer.concat([header, Buffer.from(`${kind}\0${name}`, 'utf16le')]);
}

function corrupt(why: string, cause?: unknown): LlamaError {
  const message = `The session record can’t be decrypted (${why}); restore it from a copy, or delete the session.`;
  return new LlamaError('SNAPSHOT_CORRUPT', message, cause === undefined ? undefined : { cause });
}
