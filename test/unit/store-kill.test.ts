/** Processes that are killed at any instant. KILLS=1000 KILL_SEED=7 for a long run, and to repeat one. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { audit } from '../support/audit.js';
import { transpileLib } from '../support/transpile.js';

const kills = Number(process.env['KILLS'] ?? 8);
const seed = Number(process.env['KILL_SEED'] ?? 1);
const groups = [
  ['a', 'b', 'c'],
  ['d', 'e', 'f'],
];

interface Line {
  id?: string;
  begun?: string | null;
  done?: string | null;
  wrong?: string;
}

let lib: string;
let root: string;
beforeAll(async () => {
  lib = await mkdtemp(join(tmpdir(), 'kill-code-'));
  root = await mkdtemp(join(tmpdir(), 'kill-data-'));
  await transpileLib(lib);
});
afterAll(async () => {
  for (const folder of [lib, root]) await rm(folder, { recursive: true });
});

async function start(log: string, childSeed: number, ids: readonly string[]): Promise<ChildProcess> {
  const child = fork(
    join(import.meta.dirname, '../support/chaos-child.mjs'),
    [lib, join(root, 'store'), log, String(childSeed), ids.join()],
    { execArgv: [] },
  );
  await once(child, 'message');
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  expect(child.exitCode).toBeNull();
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** What each record may be: what was acknowledged last, or what was on its way. */
async function possible(log: string): Promise<Map<string, (string | null)[]>> {
  const states = new Map<string, (string | null)[]>();
  for (const line of (await readFile(log, 'utf8')).split('\n').filter(Boolean)) {
    const { id = '', begun, done, wrong } = JSON.parse(line) as Line;
    expect(wrong).toBeUndefined();
    if (begun !== undefined) states.set(id, [...(states.get(id) ?? [null]).slice(0, 1), begun]);
    if (done !== undefined) states.set(id, [done]);
  }
  return states;
}

test(
  `killed ${String(kills)} times, a directory loses nothing and keeps no litter (seed ${String(seed)})`,
  async () => {
    let state = seed;
    const below = (n: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const log = join(root, 'log');
    for (let kill = 0; kill < kills; kill++) {
      const children = await Promise.all(groups.map((ids) => start(log, below(2 ** 31), ids)));
      await pause(below(150));
      // The one that lives on must be able to go on.
      for (const child of children) {
        await end(child);
        await pause(below(30));
      }
      const store = new DirectoryStore(join(root, 'store'));
      for (const [id, states] of await possible(log)) {
        const record = await store.getRecord(id);
        const word = record ? (Buffer.from(record.bytes).toString().split(' ')[0] ?? '') : null;
        expect(states, `record ${id} after kill ${String(kill)}`).toContain(word);
        // Of two that were possible this is the one from here on.
        await appendFile(log, `${JSON.stringify({ id, done: word })}\n`);
      }
      await store.sweep();
      await store.close();
      await audit(join(root, 'store'));
    }
    const store = new DirectoryStore(join(root, 'store'));
    for (const id of groups.flat()) await store.deleteRecord(id);
    expect(store.stats()).toMatchObject({ storedPages: 0, storedPageBytes: 0 });
    await store.close();
    await audit(join(root, 'store'));
  },
  60_000 + kills * 2000,
);
