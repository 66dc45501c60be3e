import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { transpileLib } from '../support/transpile.js';

/** Counts up one record as fast as it can, and says each acknowledged version. */
const CHILD = `
import { DirectoryStore } from './stores/directory.js';
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

let code: string;
let root: string;
beforeAll(async () => {
  code = await mkdtemp(join(tmpdir(), 'store-code-'));
  await transpileLib(code);
  await writeFile(join(code, 'child.js'), CHILD);
});
afterAll(() => rm(code, { recursive: true }));
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'store-data-'));
  return () => rm(root, { recursive: true });
});

function start(id: string, times: number, acknowledged: number[]): ChildProcess {
  const child = fork(join(code, 'child.js'), [root, id, String(times)], { execArgv: [] });
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
