import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from 'node:crypto';
import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import { LlamaError } from '../errors.js';
import { piecesOf } from './rules.js';

/**
 * Something encrypted (AES-256-GCM in chunks, as STREAM has it: Hoang, Reyhanitabar, Rogaway, Vizár, 2015):
 *
 *     8 bytes   what it is, ASCII
 *     1 byte    length of the key's id
 *               the key's id, UTF-8
 *     8 bytes   the key's mark, by which another key of that id is known
 *     32 bytes  salt, of this one alone: its key is the HKDF-SHA256 of the ring's key and the salt
 *               chunks of 256 KiB, the last one shorter, perhaps empty; 16 bytes behind each authenticate it
 *
 * A chunk's nonce is its number and whether it is the last one: none can be lost, repeated, moved or cut off. What all of this is,
 * and whose, is authenticated with each: one can't be put in another's place.
 */
const MAGIC = Buffer.from('llamcryp', 'latin1');
const MARK_BYTES = 8;
const SALT_BYTES = 32;
const TAG_BYTES = 16;
/** Some tenths of a millisecond of the event loop. */
const CHUNK_BYTES = 2 ** 18;
const CIPHER = 'aes-256-gcm';
/** Said when decrypting, or a forger could choose a tag that is short enough to guess. */
const TAG = { authTagLength: TAG_BYTES };
/** Names of pages that are remembered: a session of 128k tokens names 512 with each turn. */
const MOST_NAMES = 8192;

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

interface Key {
  /** Not a Buffer: small ones lie in memory that all of them share. */
  secret: KeyObject;
  mark: Buffer;
  /** For the names of pages. */
  naming: KeyObject;
}

/** Keys in use: a copy, so that the user may wipe his. */
export class Keys {
  readonly #current: string;
  readonly #key: Key;
  readonly #keys: ReadonlyMap<string, Key>;
  readonly #names = new Map<string, readonly string[]>();

  /** @param ring that was checked */
  constructor({ current, keys }: KeyRing) {
    this.#current = current;
    this.#keys = new Map(Object.entries(keys).map(([id, key]) => [id, keyFrom(key)]));
    this.#key = this.#keys.get(current) as Key;
  }

  /** Names of a page that tell nobody else what it holds: by each key, the current one first. */
  namesOf(page: string): readonly string[] {
    const known = this.#names.get(page);
    if (known !== undefined) return known;
    const keys = [this.#key, ...this.#keys.values()];
    const names = keys.map(({ naming }) => createHmac('sha256', naming).update(page, 'utf16le').digest('hex'));
    const unique = [...new Set(names)];
    if (this.#names.size >= MOST_NAMES) this.#names.clear();
    this.#names.set(page, unique);
    return unique;
  }

  /**
   * @param parts of the whole, in order; they may change afterwards
   * @returns parts in order
   */
  async encrypt(purpose: Purpose, parts: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const id = Buffer.from(this.#current);
    const salt = randomBytes(SALT_BYTES);
    const header = Buffer.concat([MAGIC, Buffer.of(id.byteLength), id, this.#key.mark, salt]);
    const key = derive(this.#key.secret, salt, 'content');
    const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    const chunks = Math.max(1, Math.ceil(bytes / CHUNK_BYTES));
    const encrypted: Uint8Array[] = [header];
    for (const piece of piecesOf(parts, CHUNK_BYTES)) {
      const i = encrypted.length - 1;
      if (i > 0) await turnOfEventLoop();
      const cipher = createCipheriv(CIPHER, key, nonce(i, i === chunks - 1), TAG);
      cipher.setAAD(context(header, purpose));
      encrypted.push(Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]));
    }
    return encrypted;
  }

  /**
   * The reverse of `encrypt()`.
   * @throws LlamaError KEY_NOT_FOUND; SNAPSHOT_CORRUPT when somebody or something changed it, or put it in another one's place
   */
  async decrypt(purpose: Purpose, encrypted: Uint8Array): Promise<Uint8Array> {
    const found = headerOf(encrypted);
    if (found === undefined) throw notEncrypted();
    const { id, mark, start } = found;
    const key = this.#keys.get(id);
    if (key?.mark.equals(mark) !== true) throw missing(id);
    const header = encrypted.subarray(0, start);
    const contentKey = derive(key.secret, header.subarray(-SALT_BYTES), 'content');
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

  /** Whether another key than the current one has encrypted it. */
  isOutdated(encrypted: Uint8Array): boolean {
    return keyOf(encrypted) !== this.#current;
  }
}

/** The id of the key that encrypted it; undefined: it is not encrypted. */
export function keyOf(bytes: Uint8Array): string | undefined {
  return headerOf(bytes)?.id;
}

/** What is said of a session whose key is not there. @param id as somebody has stored it: anything */
export function missing(id: string): LlamaError {
  return new LlamaError(
    'KEY_NOT_FOUND',
    `The session is encrypted with a key ${JSON.stringify(id)} that is not here; load the model with \`encryption\` that has it.`,
  );
}

function headerOf(bytes: Uint8Array): { id: string; mark: Buffer; start: number } | undefined {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!whole.subarray(0, MAGIC.byteLength).equals(MAGIC)) return undefined;
  const begin = MAGIC.byteLength + 1;
  const end = begin + (whole[MAGIC.byteLength] ?? 0);
  const start = end + MARK_BYTES + SALT_BYTES;
  if (whole.byteLength < start) return undefined;
  return { id: whole.toString('utf8', begin, end), mark: whole.subarray(end, end + MARK_BYTES), start };
}

function keyFrom(bytes: Uint8Array): Key {
  const secret = createSecretKey(bytes);
  const none = Buffer.alloc(0);
  return {
    secret,
    mark: derive(secret, none, 'mark').subarray(0, MARK_BYTES),
    naming: createSecretKey(derive(secret, none, 'names of pages')),
  };
}

function derive(key: KeyObject, salt: Uint8Array, what: string): Buffer {
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

function notEncrypted(): LlamaError {
  const message =
    'The session record is not encrypted, and so may be anybody’s; to go on with it, export it with a model without `encryption`, and import it.';
  return new LlamaError('SNAPSHOT_CORRUPT', message);
}
