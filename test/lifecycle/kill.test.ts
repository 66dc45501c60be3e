/** Processes with sessions, killed at any instant. KILLS=200 KILL_SEED=7 for a long run, and to repeat one. */
import { once } from 'node:events';
import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DirectoryStore, LlamaError, type Model, type Session } from '../../lib/index.js';
import { audit } from '../support/audit.js';
import { chances } from '../support/chaos.mjs';
import { refusal, within } from '../support/deadline.js';
import { kill, Owner, possible, startChild } from '../support/killed.js';
import { loadRecall } from '../support/models.js';

const kills = Number(process.env['KILLS'] ?? 3);
const seed = Number(process.env['KILL_SEED'] ?? 1);
const groups = [
  ['a', 'b', 'c'],
  ['d', 'e', 'f'],
];
const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };
const cache = { pageTokens: 16, restore: 'always' } as const;

let folder: string;
let store: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killed-'));
  store = join(folder, 'store');
});
afterAll(() => rm(folder, { recursive: true }));

/** What users said in it; null: there is no such session. */
async function saidIn(model: Model, id: string): Promise<{ session: Session | undefined; said: string[] | null }> {
  try {
    const session = await within(`resuming '${id}'`, model.resumeSession(id));
    const { messages } = session;
    expect(messages.map(({ role }) => role).join()).toMatch(/^((^|,)user,assistant)*$/);
    for (const { interrupted } of messages) expect(interrupted).toBeUndefined();
    return { session, said: messages.filter(({ role }) => role === 'user').map(({ content }) => content) };
  } catch (error) {
    if (error instanceof LlamaError && error.code === 'SESSION_NOT_FOUND') return { session: undefined, said: null };
    throw error;
  }
}

/** It knows what it was told. @returns what was said in it then */
async function answersRight(session: Session, said: readonly string[]): Promise<readonly string[]> {
  const [first] = said;
  if (first === undefined) return said;
  const { text } = await within(`asking '${session.id}'`, session.send('What is my code?', GREEDY));
  expect(text).toBe(first.replace('My', 'Your'));
  return [...said, 'What is my code?'];
}

async function start(log: string, childSeed: number, ids: readonly string[]): Promise<ReturnType<typeof startChild>> {
  const child = startChild('turns-child.mjs', [store, log, String(childSeed), ids.join()]);
  await within('a child', once(child, 'message'), 30_000);
  return child;
}

test(
  `killed ${String(kills)} times in the middle of turns, no turn is lost that was acknowledged (seed ${String(seed)})`,
  { timeout: 60_000 + kills * 20_000 },
  async () => {
    const below = chances(seed);
    const log = join(folder, 'log');
    let restored = 0;
    for (let round = 0; round < kills; round++) {
      const children = await Promise.all(groups.map((ids) => start(log, below(2 ** 31), ids)));
      await pause(below(1500));
      // The one that lives on must be able to go on.
      for (const child of children) {
        await kill(child);
        await pause(below(200));
      }
      const model = await loadRecall({ store, cache });
      for (const [id, states] of await possible<string[]>(log)) {
        const { session, said } = await saidIn(model, id);
        expect(states, `session '${id}' after kill ${String(round)}`).toContainEqual(said);
        const now = session === undefined || said === null ? null : await answersRight(session, said);
        await session?.close();
        // Of those that were possible this is the one from here on.
        await appendFile(log, `${JSON.stringify({ id, done: now })}\n`);
      }
      restored += model.stats()['storeRestores'] ?? 0;
      await model.close();
      const directory = new DirectoryStore(store);
      await directory.sweep();
      await directory.close();
      await audit(store);
    }
    // Without these the test would say nothing about pages.
    expect(restored).toBeGreaterThan(0);

    const model = await loadRecall({ store });
    for await (const { id } of model.listSessions()) await model.deleteSession(id);
    expect(model.stats()).toMatchObject({ storedPages: 0, storedPageBytes: 0 });
    await model.close();
    await audit(store);
    const files = (await readdir(store, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    expect(files.map(({ name }) => name).sort()).toEqual(['data.mdb', 'lock.mdb']);
  },
);

test('KV of a session that was idle is on the disk when its process is killed', async () => {
  const owner = new Owner(store);
  await owner.ask('create', 'idle');
  await owner.ask('send', 'idle', 'My name is Mosoba.');
  await owner.ask('written');
  await kill(owner.child);
  const model = await loadRecall({ store, cache: { restore: 'always' } });
  const session = await model.resumeSession('idle');
  expect(session.residency).toBe('store');
  const { text, usage } = await session.send('What is my name?');
  expect(text).toBe('Your name is Mosoba.');
  // All but what the second turn has added.
  expect(usage.cachedTokens).toBeGreaterThan(usage.promptTokens / 2);
  expect(model.stats()).toMatchObject({ storeRestores: 1, kvMisses: 0 });
});

test('who is killed lets go of its sessions at once; before that they are its own', async () => {
  const owner = new Owner(store);
  await owner.ask('create', 'mine');
  await owner.ask('send', 'mine', 'My name is Mosoba.');
  const model = await loadRecall({ store });
  const conflict = { code: 'SESSION_CONFLICT' };
  expect(await refusal('resumeSession()', () => model.resumeSession('mine'))).toMatchObject(conflict);
  expect(await refusal('createSession()', () => model.createSession({ id: 'mine' }))).toMatchObject(conflict);
  expect(await owner.ask('send', 'mine', 'My code is 3299.')).toBe('Noted: your code is 3299.');
  await kill(owner.child);
  const session = await model.resumeSession('mine');
  expect(session.messages).toHaveLength(4);
  expect((await session.send('What is my name?')).text).toBe('Your name is Mosoba.');
});

test('who closes a session lets go of it; another process goes on, and back again', async () => {
  const [one, two] = [new Owner(store), new Owner(store)];
  await one.ask('create', 'shared');
  await one.ask('send', 'shared', 'My name is Mosoba.');
  // It goes on to be the owner of something.
  await one.ask('create', 'its own');
  await expect(two.ask('resume', 'shared')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  await one.ask('close', 'shared');
  expect(await two.ask('resume', 'shared')).toBe(2);
  await expect(one.ask('resume', 'shared')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  await two.ask('send', 'shared', 'My code is 3299.');
  await two.ask('close', 'shared');
  expect(await one.ask('resume', 'shared')).toBe(4);
  expect(await one.ask('send', 'shared', 'What is my code?')).toBe('Your code is 3299.');
});

test('who stands still keeps its sessions; when one was taken over, it hears of that when it goes on', async () => {
  const owner = new Owner(store);
  for (const id of ['taken', 'kept']) {
    await owner.ask('create', id);
    await owner.ask('send', id, 'My name is Mosoba.');
  }
  owner.child.kill('SIGSTOP');
  const model = await loadRecall({ store });
  for (const id of ['taken', 'kept']) {
    expect(await refusal('resumeSession()', () => model.resumeSession(id))).toMatchObject({ code: 'SESSION_CONFLICT' });
  }
  const session = await model.resumeSession('taken', { takeOver: true });
  await session.send('My code is 3299.', GREEDY);
  owner.child.kill('SIGCONT');
  await expect(owner.ask('send', 'taken', 'My code is 1111.')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  await expect.poll(() => owner.ask('state', 'taken')).toBe('closed');
  await expect(owner.ask('resume', 'taken')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  expect(await owner.ask('send', 'kept', 'What is my name?')).toBe('Your name is Mosoba.');
  expect((await session.send('What is my code?', GREEDY)).text).toBe('Your code is 3299.');
});
