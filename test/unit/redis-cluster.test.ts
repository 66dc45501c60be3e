/** RedisStore in a cluster that moves its keys from node to node. */
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { RedisStore } from '../../lib/stores/redis.js';
import { clusterArgs, freePort, RedisProcess } from '../support/redis.js';
import { expectCode, name, plain, random, same, text } from '../suites/store-values.js';

interface Node {
  server: RedisProcess;
  port: number;
  /** On which nodes talk to each other. */
  bus: number;
  id: string;
}

async function startNode(): Promise<Node> {
  const [port, bus] = [await freePort(), await freePort()];
  const server = await new RedisProcess(...clusterArgs(port, bus)).start();
  onTestFinished(() => server.stop());
  await server.command('CONFIG', 'SET', 'cluster-require-full-coverage', 'no');
  return { server, port, bus, id: String(await server.command('CLUSTER', 'MYID')) };
}

test('while they move it waits, and finds all of them afterwards', async () => {
  const [from, to] = [await startNode(), await startNode()];
  await from.server.command('CLUSTER', 'ADDSLOTSRANGE', '1', '16383');
  await to.server.command('CLUSTER', 'ADDSLOTS', '0'); // or the client does not know it
  await from.server.command('CLUSTER', 'MEET', '127.0.0.1', String(to.port), String(to.bus));
  const knows = async (node: Node, other: Node): Promise<boolean> =>
    String(await node.server.command('CLUSTER', 'NODES')).includes(`${other.id} 127.0.0.1`);
  const isReady = async ({ server }: Node): Promise<boolean> =>
    String(await server.command('CLUSTER', 'INFO')).includes('cluster_state:ok');
  while (!(await knows(from, to)) || !(await knows(to, from))) await pause(20);
  while (!(await isReady(from)) || !(await isReady(to))) await pause(20);

  const cluster = await from.server.cluster(from.port);
  onTestFinished(() => {
    cluster.destroy();
  });
  const store = new RedisStore(cluster, { timeoutMs: 500 });
  await name(store, 'ann', 'p');
  await store.putRecord('ann', text('two'), { expected: 1, pages: ['p'] });
  await store.putPage('p', random(1000));

  const slot = String(await from.server.command('CLUSTER', 'KEYSLOT', '{llama-sessions}'));
  await to.server.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
  await from.server.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
  await expectCode(store.getRecord('ann'), 'STORE_FAILED');
  await expectCode(store.putRecord('ann', text('new'), { expected: 0 }), 'STORE_FAILED');
  const [first, ...others] = await from.server.keys();
  const move = (key: Buffer | string = ''): Promise<unknown> =>
    from.server.command('MIGRATE', '127.0.0.1', String(to.port), key, '0', '5000');
  await move(first);
  await expectCode(store.getRecord('ann'), 'STORE_FAILED');
  for (const key of others) await move(key);
  for (const node of [to, from]) await node.server.command('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);

  expect(plain(await store.getRecord('ann'))).toEqual({ version: 2, bytes: 'two' });
  expect(same(await store.getPage('p'), random(1000))).toBe(true);
  expect(await store.putRecord('ann', text('three'), { expected: 2 })).toBe(3);
});
