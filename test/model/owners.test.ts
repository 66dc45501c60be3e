/** One session, several models that want it. As other processes would, each has a store object of its own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadModel, MemoryStore, type Model, type Session } from '../../lib/index.js';
import { RECALL } from '../support/recall.js';

const GREEDY = { sampling: { temperature: 0 } };
const LOAD = { threads: 1, maxResident: 4, cache: { restore: 'always' } } as const;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'owners-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function told(model: Model, id: string): Promise<Session> {
  const session = await model.createSession({ id, ...GREEDY });
  await session.send('My name is Mosoba.');
  await session.send('My code is 3299.');
  return session;
}

test('every turn is in the store when it resolves, saved or not: another owner finds it, if it takes over', async () => {
  const model = await loadModel(RECALL, { ...LOAD, store: folder });
  const mine = await told(model, 'ann');
  // A second process, as it were, while the first still runs.
  const other = await loadModel(RECALL, { ...LOAD, store: folder });
  await expect(other.resumeSession('ann')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  // To be refused has changed nothing.
  expect((await mine.send('What is my name?')).text).toBe('Your name is Mosoba.');
  const theirs = await other.resumeSession('ann', { takeOver: true });
  expect(theirs.messages).toEqual(mine.messages);
  const reply = await theirs.send('What is my code?');
  expect(reply.text).toBe('Your code is 3299.');
  // No turn writes KV; who is idle for long enough, or leaves the device, does.
  expect(reply.usage.cachedTokens).toBe(0);

  // The first owner hears of it when it writes, and its session has ended then.
  await expect(mine.send('I live in Kabela.')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  await expect.poll(() => mine.state).toBe('closed');
  await expect(mine.send('Hello!')).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  await expect(model.resumeSession('ann')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  // What it has lost it does not let go of either: the new owner writes on.
  await theirs.send('I live in Dorin.');
  await theirs.close();
  const again = await model.resumeSession('ann');
  expect(again.messages).toHaveLength(10);
  expect((await again.send('Where do I live?')).text).toBe('Your city is Dorin.');
  await other.close();
  await model.close();
});

test('an owner who has lost its session without a turn since writes nothing when it closes', async () => {
  const model = await loadModel(RECALL, { ...LOAD, store: folder });
  const mine = await told(model, 'ann');
  const other = await loadModel(RECALL, { ...LOAD, store: folder });
  const theirs = await other.resumeSession('ann', { takeOver: true });
  await theirs.send('I live in Dorin.');
  await mine.close();
  await model.close();
  // Nor has it let go of what is not its own any more.
  const third = await loadModel(RECALL, { ...LOAD, store: folder });
  await expect(third.resumeSession('ann')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  await third.close();
  expect((await theirs.send('Where do I live?')).text).toBe('Your city is Dorin.');
  await other.close();
});

test('two owners of one session: the second writer gets SESSION_CONFLICT and loses nothing of the first', async () => {
  const shared = new MemoryStore();
  const [first, second] = [
    await loadModel(RECALL, { ...LOAD, store: shared }),
    await loadModel(RECALL, { ...LOAD, store: shared }),
  ];
  const mine = await told(first, 'ann');
  const theirs = await second.resumeSession('ann');
  await mine.send('I live in Kabela.');
  await expect(theirs.send('I live in Dorin.')).rejects.toMatchObject({ code: 'SESSION_CONFLICT' });
  // It has ended: resuming gives what the other has written.
  await expect(theirs.send('Hello!')).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  expect((await mine.send('Where do I live?')).text).toBe('Your city is Kabela.');
  const resumed = await second.resumeSession('ann');
  expect((await resumed.send('Where do I live?')).text).toBe('Your city is Kabela.');
  await first.close();
  await second.close();
});
