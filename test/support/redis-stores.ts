import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { RedisStore, type RedisStoreOptions } from '../../lib/stores/redis.js';
import { RedisProcess } from './redis.js';

export interface RedisStores {
  readonly server: RedisProcess;
  /** What is done after the test, the last one first. */
  readonly ends: (() => unknown)[];
  /** A store with a connection of its own, by which a proxy's path may lead. */
  open(options?: RedisStoreOptions, path?: string): Promise<RedisStore>;
}

/** A server for all tests of a file or suite, empty before each; it writes before it answers. */
export function redisStores(): RedisStores {
  const server = new RedisProcess('--appendonly', 'yes', '--appendfsync', 'always');
  const ends: (() => unknown)[] = [];
  beforeAll(() => server.start());
  afterAll(() => server.stop());
  beforeEach(() => server.command('FLUSHALL'));
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  return {
    server,
    ends,
    open: async (options = {}, path) => {
      const client = await server.client(path);
      const store = new RedisStore(client, options);
      ends.push(
        () => client.destroy(),
        () => store.close().catch(() => undefined),
      );
      return store;
    },
  };
}
