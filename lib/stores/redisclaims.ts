import { SILENCE_MS, type ClaimTable } from './claims.js';
import { BEAT, CLAIM, RELEASE } from './redisscripts.js';
import { idBytes, idOf } from './redisids.js';
import type { RedisServer } from './redisserver.js';
import { claimedElsewhere } from './rules.js';

/** Ids in one command: some milliseconds of the server's time, and of the event loop's. */
const AT_ONCE = 500;

/** The claims of one owner, each a key that lapses unless he says that he lives. */
export class RedisClaims implements ClaimTable {
  readonly #server: RedisServer;
  readonly #owner: string;

  constructor(server: RedisServer, owner: string) {
    this.#server = server;
    this.#owner = owner;
  }

  async claim(id: string, takeOver: boolean): Promise<void> {
    const claimed = await this.#server.run(CLAIM, idBytes(id), this.#owner, takeOver ? 1 : 0, SILENCE_MS);
    if (claimed !== 1) throw claimedElsewhere();
  }

  async release(ids: readonly string[]): Promise<void> {
    for (const some of parts(ids)) await this.#server.run(RELEASE, this.#owner, ...some.map(idBytes));
  }

  async beat(ids: readonly string[], isHeld: (id: string) => boolean): Promise<readonly string[]> {
    const lost: string[] = [];
    for (const some of parts(ids)) {
      const held = some.filter(isHeld).map(idBytes);
      if (held.length === 0) continue;
      lost.push(...((await this.#server.run(BEAT, this.#owner, SILENCE_MS, ...held)) as Buffer[]).map(idOf));
    }
    return lost;
  }
}

function* parts(ids: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < ids.length; at += AT_ONCE) yield ids.slice(at, at + AT_ONCE);
}
