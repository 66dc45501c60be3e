import { randomBytes } from 'node:crypto';
import { ADD_PAGE, DELETE_PAGE, GET_PAGE, pageKey, PUT_PIECE, WANTS_PAGE } from './redisscripts.js';
import type { RedisServer } from './redisserver.js';
import { join, piecesOf } from './rules.js';
import { pageHash } from './tables.js';

/** The server does one thing at a time: a larger piece would keep everybody waiting. */
const PIECE_BYTES = 2 ** 22;
/** A page whose writer says nothing for so long is given up. */
const WRITING_MS = 60_000;

/** Of the whole store, as of some answer: pages, their bytes, and how many made room for others. */
export type Figures = [pages: number, bytes: number, evictions: number];

/** KV pages on a server, in pieces. */
export class RedisPages {
  readonly #server: RedisServer;
  readonly #budget: number;
  readonly #onFigures: (figures: Figures) => void;

  constructor(server: RedisServer, budget: number, onFigures: (figures: Figures) => void) {
    this.#server = server;
    this.#budget = budget;
    this.#onFigures = onFigures;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const hash = nameOf(key);
    const found = (await this.#server.run(GET_PAGE, hash)) as [count: number, bytes: number] | null;
    if (found === null) return undefined;
    const [count, bytes] = found;
    const pieces: Buffer[] = [];
    for (let number = 0; number < count; number++) {
      const piece = await this.#server.field(pageKey(hash), number);
      if (piece === null) return undefined; // it was given up meanwhile
      pieces.push(piece);
    }
    const page = join(pieces); // the client's Buffers are parts of larger ones
    return page.byteLength === bytes ? page : undefined;
  }

  async put(key: string, parts: readonly Uint8Array[]): Promise<boolean> {
    const hash = nameOf(key);
    const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    const wanted = this.#outcome(await this.#server.run(WANTS_PAGE, hash, bytes, this.#budget));
    if (wanted !== 'wanted') return wanted === 'stored';

    const nonce = randomBytes(16);
    let count = 0;
    for (const piece of piecesOf(parts, PIECE_BYTES)) {
      await this.#server.run(PUT_PIECE, nonce, count++, piece, WRITING_MS);
    }
    const added = this.#outcome(await this.#server.run(ADD_PAGE, hash, nonce, count, bytes, this.#budget));
    if (added === 'lost') throw new Error('a page that was being written has lapsed: the connection is too slow');
    return added === 'stored';
  }

  async delete(key: string): Promise<boolean> {
    const [figures, deleted] = (await this.#server.run(DELETE_PAGE, nameOf(key))) as [Figures, number];
    this.#onFigures(figures);
    return deleted === 1;
  }

  #outcome(answer: unknown): string {
    const [figures, outcome] = answer as [Figures, Buffer];
    this.#onFigures(figures);
    return outcome.toString();
  }
}

/** How the server knows a page: 32 bytes. */
export function nameOf(key: string): Buffer {
  return Buffer.from(pageHash(key), 'latin1');
}
