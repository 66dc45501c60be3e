/** Processes with sessions, killed at any instant. For thousands, or to repeat some: `npm run bench -- kills --seed 7`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DirectoryStore, loadModel } from '../../lib/index.js';
import { audit } from '../support/audit.js';
import { refusal } from '../support/deadline.js';
import { LIBRARY, Owner } from '../support/killed.js';
import { kill, killTurns } from '../support/kills.mjs';
import { loadRecall } from '../support/models.js';

const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };

let folder: string;
let store: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'killed-'));
  store = join(folder, 'store');
});
afterAll(() => rm(folder, { recursive: true }));

test('killed 6 times in the middle of turns, no turn is lost that was acknowledged', { timeout: 300_000 }, async () => {
  const parts = { library: LIBRARY, loadModel, DirectoryStore, audit };
  const findings = await killTurns({ ...parts, folder, kills: 6, seed: 1 });
  // Without these the test would say nothing.
  expect(findings.acknowledged).toBeGreaterThan(0);
  expect(findings.pages).toBeGreaterThan(0);
});

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
