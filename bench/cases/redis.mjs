import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { median, round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { greedy, openModel, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'bringing the KV of a conversation back from a Redis server on this machine, beside plain GETs of its bytes';

const HISTORY = 2048;
const RESTORES = 5; // in each repetition

/** @param {Settings} settings */
export async function run(settings) {
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  const path = join(folder, 'socket');
  const args = ['--port', '0', '--unixsocket', path, '--save', '', '--dir', folder];
  const server = spawn('redis-server', args, { stdio: 'ignore' });
  const ended = once(server, 'exit');
  try {
    await once(server, 'spawn'); // or it is not installed
    const client = await createClient({ socket: { path, reconnectStrategy: 50 } })
      .on('error', () => undefined) // until it listens
      .connect();
    const result = await measure(settings, client);
    client.destroy();
    return result;
  } finally {
    if (server.kill('SIGKILL')) await ended;
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * @param {Settings} settings
 * @param {ReturnType<typeof createClient>} client
 */
async function measure(settings, client) {
  const { RedisStore } = await import('../../dist/index.js');
  const { repetitions } = settings;
  const prefills = [];
  const restores = [];
  const gets = [];
  let pages = 0;
  let bytes = 0;
  for (let i = 0; i < repetitions; i++) {
    progress(`redis: ${i + 1} of ${repetitions}`);
    // Of other tokens each time: what was computed once would be found.
    const store = new RedisStore(client, { prefix: `bench ${i}` });
    const open = () =>
      openModel(settings, { maxResident: 2, contextTokens: 8192, store, cache: { restore: 'always' } });
    let model = await open();
    const prompt = promptTokens(model, HISTORY, 100 + i);
    const session = await model.createSession({ id: 'history' });
    const { timings } = await session.complete(prompt, greedy(1));
    prefills.push(timings.prefillMs);
    await session.save();
    await model.close();

    for (let again = 0; again < RESTORES; again++) {
      model = await open();
      const resumed = await model.resumeSession('history');
      const { timings } = await resumed.complete(prompt, greedy(1));
      restores.push(timings.restoreMs);
      pages = model.stats().storeHits;
      bytes = model.stats().storeHitBytes;
      await model.close();
      gets.push(await plainMs(client, pages, bytes));
    }
  }
  const row = {
    MB: round(bytes / 1e6, 1),
    pages,
    'restore ms': round(median(restores)),
    'prefill ms': round(median(prefills), 0),
    'times faster': round(median(prefills) / median(restores), 0),
    'plain GETs ms': round(median(gets)),
    'of plain': round(median(gets) / median(restores)),
  };
  return {
    rows: [row],
    goals: { 'at least 30 times faster than prefill': Number(row['times faster']) >= 30 },
  };
}

/**
 * What it takes to read as many bytes as strings of that size, one after the other.
 *
 * @param {ReturnType<typeof createClient>} client
 * @param {number} count
 * @param {number} bytes
 */
async function plainMs(client, count, bytes) {
  const buffers = client.withTypeMapping({ 36: Buffer });
  const value = randomBytes(Math.ceil(bytes / count));
  const keys = Array.from({ length: count }, (_, i) => `plain ${i}`);
  for (const key of keys) await client.set(key, value);
  const began = performance.now();
  for (const key of keys) await buffers.get(key);
  return performance.now() - began;
}
