import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RedisStore } from '../../lib/stores/redis.js';
import { clusterArgs, freePort, RedisProcess, type Connection } from '../support/redis.js';
import { storeSuite, type StoreFixture } from '../suites/store-suite.js';

/** The suite's stores, each on a name of its own. */
function fixture(connection: () => Connection): StoreFixture {
  let stores = 0;
  const open = (pageBytes?: number): Promise<RedisStore> => {
    const budget = pageBytes === undefined ? {} : { pageBytes };
    return Promise.resolve(new RedisStore(connection(), { prefix: `test ${String(stores)}`, ...budget }));
  };
  return {
    open: (pageBytes) => {
      stores++;
      return open(pageBytes);
    },
    reopen: () => open(),
    budget: true,
  };
}

/** Runs the suite on a server of its own. */
function suiteOn(name: string, start: () => Promise<[RedisProcess, Connection]>): void {
  describe(`on ${name}`, () => {
    let server: RedisProcess;
    let connection: Connection;
    beforeAll(async () => {
      [server, connection] = await start();
    });
    afterAll(async () => {
      connection.destroy();
      await server.stop();
    });
    storeSuite(
      'RedisStore',
      fixture(() => connection),
    );
  });
}

suiteOn('a connection', async () => {
  const server = await new RedisProcess().start();
  return [server, await server.client()];
});

suiteOn('a pool of connections', async () => {
  const server = await new RedisProcess().start();
  return [server, await server.pool()];
});

suiteOn('a cluster', async () => {
  const port = await freePort();
  const server = await new RedisProcess(...clusterArgs(port, await freePort())).start();
  await server.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  return [server, await server.cluster(port)];
});

describe('what the constructor refuses', () => {
  const client = { withCommandOptions: () => undefined };

  test.each([undefined, null, {}, 'redis://localhost', { sendCommand: () => undefined }])('the client %j', (wrong) => {
    const message = /^client must be a client of the package redis, version 5 or newer, got /;
    expect(() => new RedisStore(wrong as never)).toThrow(TypeError);
    expect(() => new RedisStore(wrong as never)).toThrow(message);
  });

  test.each<[object, typeof TypeError | typeof RangeError, string]>([
    [{ prefix: '' }, RangeError, "prefix must be a non-empty string without braces, got ''"],
    [{ prefix: 'a{b' }, RangeError, "prefix must be a non-empty string without braces, got 'a{b'"],
    [{ prefix: 1 }, TypeError, 'prefix must be a non-empty string without braces, got 1'],
    [{ pageBytes: -1 }, RangeError, 'pageBytes must be an integer from 0 to 9007199254740991, got -1'],
    [{ timeoutMs: 0 }, RangeError, 'timeoutMs must be an integer from 1 to 2147483647, got 0'],
    [{ timeout: 5 }, TypeError, "options has no option 'timeout'; did you mean 'timeoutMs'?"],
  ])('%j', (options, type, message) => {
    expect(() => new RedisStore(client, options)).toThrow(type);
    expect(() => new RedisStore(client, options)).toThrow(message);
  });
});
