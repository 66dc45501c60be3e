import { randomBytes } from 'node:crypto';
import { types } from 'node:util';
import { integer, options as optionsOf, refusal, type Check, type Shape } from '../checks.js';
import { Calls } from './calls.js';
import { Claims } from './claims.js';
import { newOwner } from './owners.js';
import { RedisClaims } from './redisclaims.js';
import { idBytes, idOf, lexRange } from './redisids.js';
import { nameOf, RedisPages, type Figures } from './redispages.js';
import { DELETE_RECORD, GET_RECORD, LIST_EXPIRED, LIST_RECORDS, PUT_RECORD } from './redisscripts.js';
import { redisFailure, RedisServer, type RedisClient } from './redisserver.js';
import { checkPageBytes, claimedElsewhere, conflict, inPortions, join } from './rules.js';
import type {
  DeleteRecordOptions,
  ListedRecord,
  PutRecordOptions,
  RecordFilter,
  SessionStore,
  StoredRecord,
} from './store.js';

const PAGE_BYTES = 2 ** 30;
const PREFIX = 'llama-sessions';
const TIMEOUT_MS = 10_000;

/** How to keep sessions in Redis. */
export interface RedisStoreOptions {
  /** What all keys begin with, in braces, so that a cluster keeps them on one node. Default: 'llama-sessions'. */
  prefix?: string;
  /** Bytes of all KV pages together; those used least recently go first; 0: none. Default: 1 GiB. */
  pageBytes?: number;
  /** Milliseconds after which a command fails that nobody has answered since it was asked for; a page is several. Default: 10,000. */
  timeoutMs?: number;
}

const checkPrefix: Check = (name, value) => {
  const what = 'a non-empty string without braces';
  if (typeof value !== 'string') throw new TypeError(refusal(name, what, value));
  if (!/^[^{}]+$/.test(value)) throw new RangeError(refusal(name, what, value));
};
const OPTIONS: Shape<RedisStoreOptions> = {
  prefix: checkPrefix,
  pageBytes: checkPageBytes,
  timeoutMs: integer(1, 2 ** 31 - 1),
};
const checkOptions = optionsOf(OPTIONS);

/** Of a listing. */
interface Row {
  id: string;
  version: Buffer | null | undefined;
  info: Buffer | null | undefined;
  expiresAt: Buffer | null | undefined;
}

/** What a script did with a record. */
type Answer = [figures: Figures, outcome: Buffer, version: number];

/**
 * Keeps sessions in Redis (7 or newer), which any number of processes of any number of machines may share: a session that
 * is closed in one is resumed in another, with its KV. The client is yours: connect it before, close it after the store.
 *
 * A write survives what the server survives: with `appendonly yes` and `appendfsync always` a power failure, as `durability: 'always'`
 * asks; with `everysec` all but the last second. The server must drop no keys when its memory is full: `maxmemory-policy noeviction`,
 * and a `maxmemory` above `pageBytes`, the records, and a page for each that is being written.
 *
 * A process that ends without close() keeps what it has claimed for 30 seconds.
 */
export class RedisStore implements SessionStore {
  readonly #where: string;
  readonly #server: RedisServer;
  readonly #calls: Calls;
  /** Who this store is to others. */
  readonly #owner = newOwner();
  readonly #claims: Claims;
  readonly #pages: RedisPages;
  #figures: Figures | undefined;

  /**
   * @param client of the package `redis`, version 5 or newer, connected
   * @throws TypeError, RangeError
   */
  constructor(client: RedisClient, options: RedisStoreOptions = {}) {
    if (typeof (client as Partial<RedisClient> | undefined)?.withCommandOptions !== 'function') {
      throw new TypeError(refusal('client', 'a client of the package redis, version 5 or newer', client));
    }
    checkOptions('options', options);
    const { prefix = PREFIX, pageBytes = PAGE_BYTES, timeoutMs = TIMEOUT_MS } = options;
    this.#where = `Redis (${prefix})`;
    this.#server = new RedisServer(client, `{${prefix}}`, timeoutMs);
    this.#calls = new Calls(`The store in ${this.#where}`);
    this.#claims = new Claims(new RedisClaims(this.#server, this.#owner));
    this.#pages = new RedisPages(this.#server, pageBytes, (figures) => {
      this.#figures = figures;
    });
    dropped.register(this, this.#claims, this);
  }

  getRecord(id: string): Promise<StoredRecord | undefined> {
    return this.#call('read a session record', async () => {
      const found = (await this.#server.run(GET_RECORD, idBytes(id))) as (Buffer | null)[];
      const [version, bytes, expiresAt] = found;
      if (!version || !bytes) return undefined;
      return { version: Number(version), bytes: join([bytes]), ...expiry(expiresAt) };
    });
  }

  putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number> {
    // It may be sent twice: the caller may transfer or change what is his.
    const copy = join([bytes]);
    return this.#call('write a session record', async () => {
      const { expected, info = '', pages = [], expiresAt = '' } = options;
      const names = join([...new Set(pages)].map(nameOf));
      const nonce = randomBytes(16); // by which the server knows it, should it come twice
      const given = [idBytes(id), copy, expected, info, names, expiresAt, this.#owner, nonce];
      const answer = await this.#server.run(PUT_RECORD, ...given);
      return this.#took(expected, answer);
    });
  }

  deleteRecord(id: string, { expected }: DeleteRecordOptions = {}): Promise<boolean> {
    return this.#call('delete a session record', async () => {
      const answer = await this.#server.run(DELETE_RECORD, idBytes(id), expected ?? '', this.#owner);
      return this.#took(expected ?? 0, answer) > 0;
    });
  }

  async *listRecords(filter: RecordFilter = {}): AsyncGenerator<ListedRecord, void> {
    for await (const { id, version, info, expiresAt } of inPortions(filter, (from, most) => this.#list(from, most))) {
      if (version && info) yield { id, version: Number(version), info: join([info]), ...expiry(expiresAt) };
    }
  }

  listExpired(now: number, limit: number): Promise<string[]> {
    return this.#call('list the expired sessions', async () => {
      const ids = (await this.#server.run(LIST_EXPIRED, now, limit)) as Buffer[];
      return ids.map(idOf);
    });
  }

  claim(id: string, takeOver: boolean): Promise<void> {
    return this.#call('claim a session', () => this.#claims.claim(id, takeOver));
  }

  release(id: string): Promise<void> {
    return this.#call('release a session', () => this.#claims.release(id));
  }

  getPage(key: string): Promise<Uint8Array | undefined> {
    return this.#call('read a KV page', () => this.#pages.get(key));
  }

  putPage(key: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<boolean> {
    return this.#call('write a KV page', () => this.#pages.put(key, types.isUint8Array(bytes) ? [bytes] : bytes));
  }

  deletePage(key: string): Promise<boolean> {
    return this.#call('delete a KV page', () => this.#pages.delete(key));
  }

  /** Figures of the whole store, by all processes since its first use, as of this object's last write. Empty before that. */
  stats(): Record<string, number> {
    if (this.#figures === undefined) return {};
    const [storedPages, storedPageBytes, pageEvictions] = this.#figures;
    return { storedPages, storedPageBytes, pageEvictions };
  }

  /** Waits for what is in progress, and lets go of all claims. The client stays open. Idempotent. */
  close(): Promise<void> {
    return this.#calls.close(async () => {
      dropped.unregister(this);
      await this.#claims.end().catch((error: unknown) => {
        throw redisFailure('close', this.#where, error);
      });
    });
  }

  /** What there is of those records: a server that is short of memory may have taken some. */
  #list(filter: RecordFilter, most: number): Promise<Row[]> {
    return this.#call('list the session records', async () => {
      const listed = await this.#server.run(LIST_RECORDS, ...lexRange(filter), most);
      return (listed as [id: Buffer, ...(Buffer | null)[]][]).map(([id, version, info, expiresAt]) => ({
        id: idOf(id),
        version,
        info,
        expiresAt,
      }));
    });
  }

  /** The version that was written or deleted; 0: there was none. @throws LlamaError SESSION_CONFLICT */
  #took(expected: number, answer: unknown): number {
    const [figures, outcome, version] = answer as Answer;
    this.#figures = figures;
    switch (outcome.toString()) {
      case 'claimed':
        throw claimedElsewhere();
      case 'conflict':
        throw conflict(expected, version);
      default:
        return version;
    }
  }

  /** Does the work of one method. What goes wrong becomes STORE_FAILED. @param doing as in 'read a page' */
  async #call<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await this.#calls.run(work);
    } catch (error) {
      throw redisFailure(doing, this.#where, error);
    }
  }
}

/** A store that nobody has any more lets go of what it claimed: its timer would go on saying that it lives. */
const dropped = new FinalizationRegistry<Claims>((claims) => {
  claims.end().catch(() => undefined); // what can't be released lapses
});

function expiry(stored: Buffer | null | undefined): { expiresAt?: number } {
  return stored ? { expiresAt: Number(stored) } : {};
}
