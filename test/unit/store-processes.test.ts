import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { audit } from '../support/audit.js';

/** What other processes and threads run. */
const DIST = new URL('../../dist/', import.meta.url).href;

/** Counts up one record as fast as it can, and says each acknowledged version. */
const CHILD = `
import { DirectoryStore } from 'dist/stores/directory.js';
const [path, id, times] = process.argv.slice(2);
const store = new DirectoryStore(path);
for (let done = 0; done < Number(times); ) {
  const record = await store.getRecord(id);
  const { count, padding } = record ? JSON.parse(Buffer.from(record.bytes)) : { count: 0 };
  const next = Buffer.from(JSON.stringify({ count: count + 1, padding: 'x'.repeat(50_000) }));
  try {
    const version = await store.putRecord(id, next, { expected: record?.version ?? 0, durability: 'none' });
    process.send(version);
    done++;
  } catch (error) {
    if (error.code !== 'SESSION_CONFLICT') throw error;
  }
}
await store.close();
process.disconnect();
`;

/** Writes all the time, and exits in the middle of it. */
const EXITS = `
import { DirectoryStore } from 'dist/stores/directory.js';
const [path, id, delay] = process.argv.slice(2);
const store = new DirectoryStore(path);
let version = (await store.getRecord(id))?.version ?? 0;
setTimeout(() => process.exit(0), Number(delay));
for (let page = 0; ; page++) {
  const writes = [store.putRecord(id, Buffer.alloc(5000), { expected: version, pages: [String(page)] })];
  writes.push(store.putPage(String(page), Buffer.alloc(50_000)));
  [version] = await Promise.all(writes);
  process.send(version);
}
`;

/** Claims a session, and lives on. */
const CLAIMS = `
import { DirectoryStore } from 'dist/stores/directory.js';
const store = new DirectoryStore(process.argv[2]);
await store.claim(process.argv[3], false);
process.send(1);
setInterval(() => undefined, 1000);
`;

/** Counts up in a thread. */
const THREAD = `
import { workerData } from 'node:worker_threads';
import { DirectoryStore } from 'dist/stores/directory.js';
const store = new DirectoryStore(workerData);
for (let done = 0; done < 50; ) {
  const { version = 0 } = (await store.getRecord('shared')) ?? {};
  try {
    await store.putRecord('shared', Buffer.from(String(version + 1)), { expected: version });
    done++;
  } catch (error) {
    if (error.code !== 'SESSION_CONFLICT') throw error;
  }
}
await store.close();
`;

let code: string;
let root: string;
beforeAll(async () => {
  code = await mkdtemp(join(tmpdir(), 'store-code-'));
  for (const [name, source] of Object.entries({ child: CHILD, exits: EXITS, claims: CLAIMS, thread: THREAD })) {
    await writeFile(join(code, `${name}.mjs`), source.replace('dist/', DIST));
  }
});
afterAll(() => rm(code, { recursive: true }));
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'store-data-'));
  return () => rm(root, { recursive: true });
});

function start(id: string, times: number, acknowledged: number[], program = 'child'): ChildProcess {
  const child = fork(join(code, `${program}.mjs`), [root, id, String(times)], { execArgv: [] });
  child.on('message', (version) => acknowledged.push(version as number));
  return child;
}

async function count(id: string): Promise<{ version: number; count: number }> {
  const store = new DirectoryStore(root);
  const record = await store.getRecord(id);
  await store.close();
  const { count } = JSON.parse(Buffer.from(record?.bytes ?? []).toString()) as { count: number };
  return { version: record?.version ?? 0, count };
}

// ROUNDS=30: what it guards against failed rarely.
const rounds = Number(process.env['ROUNDS'] ?? 2);
test.each(Array.from({ length: rounds }, (_, i) => i))(
  'three processes that write one session lose nothing (%i)',
  async () => {
    const acknowledged: number[] = [];
    const children = [1, 2, 3].map(() => start('shared', 40, acknowledged));
    for (const [exitCode] of await Promise.all(children.map((child) => once(child, 'exit')))) expect(exitCode).toBe(0);
    expect(await count('shared')).toEqual({ version: 120, count: 120 });
    // Each version was acknowledged to one of them.
    expect(acknowledged.sort((a, b) => a - b)).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
  },
);

test('what a killed process was told is there, and whole', async () => {
  for (let round = 0; round < 5; round++) {
    const acknowledged: number[] = [];
    const child = start('killed', 1e9, acknowledged);
    while (acknowledged.length < 20) await once(child, 'message');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const { version, count: counted } = await count('killed');
    expect(counted).toBe(version);
    expect(version).toBeGreaterThanOrEqual(acknowledged.at(-1) ?? Infinity);
  }
});

test('process.exit() in the middle of writes neither hangs nor crashes, and loses nothing', async () => {
  for (let round = 0; round < 8; round++) {
    const acknowledged: number[] = [];
    const child = start('exits', 5 + round * 4, acknowledged, 'exits');
    expect(await once(child, 'exit')).toEqual([0, null]);
    const store = new DirectoryStore(root);
    expect((await store.getRecord('exits'))?.version ?? 0).toBeGreaterThanOrEqual(acknowledged.at(-1) ?? 0);
    await store.sweep();
    await store.close();
    await audit(root);
  }
});

test('threads that write one session lose nothing', async () => {
  const threads = [1, 2, 3].map(() => new Worker(join(code, 'thread.mjs'), { workerData: root, execArgv: [] }));
  for (const [exitCode] of await Promise.all(threads.map((thread) => once(thread, 'exit')))) expect(exitCode).toBe(0);
  const store = new DirectoryStore(root);
  expect((await store.getRecord('shared'))?.version).toBe(150);
  await store.close();
});

test('a claim holds while its process lives, and is free when it was killed', async () => {
  const store = new DirectoryStore(root);
  const child = start('a', 0, [], 'claims');
  await once(child, 'message');
  await expect(store.putRecord('a', Buffer.from('x'), { expected: 0 })).rejects.toMatchObject({
    code: 'SESSION_CONFLICT',
  });
  await expect(store.claim('a', false)).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  await store.claim('a', false);
  expect(await store.putRecord('a', Buffer.from('x'), { expected: 0 })).toBe(1);
  await store.close();
});
