/** Sessions of one process that are opened, deleted, replaced or closed while somebody else wants them. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { DirectoryStore, MemoryStore } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { gateBefore } from '../support/gate.js';
import { folder, loadRecall, says } from '../support/models.js';
import { holdTime } from '../support/time.js';
import { tick } from '../support/turns.js';

const GREEDY = { sampling: { temperature: 0 } };
const isGone = { code: 'SESSION_NOT_FOUND' };

test('a session that is being resumed is deleted all the same', async () => {
  const model = await loadRecall({ store: new MemoryStore() });
  await (await model.createSession({ id: 'ann', ...GREEDY })).close();
  const resuming = model.resumeSession('ann');
  expect(await model.deleteSession('ann')).toBe(true);
  const session = await resuming;
  expect(session.state).toBe('closed');
  expect(await refusal('send()', () => session.send('Hello!'))).toMatchObject({ code: 'SESSION_CLOSED' });
  expect(await refusal('resuming', () => model.resumeSession('ann'))).toMatchObject(isGone);
});

test.each(['delete()', 'deleteSession()'])('who resumes in the middle of %s finds nothing', async (how) => {
  const store = new DirectoryStore(await folder());
  onTestFinished(() => store.close());
  const releases = gateBefore(store, 'release');
  const model = await loadRecall({ store });
  const session = await model.createSession({ id: 'ann', ...GREEDY });
  await session.save();
  releases.close();
  const deleting = how === 'delete()' ? session.delete() : model.deleteSession('ann');
  await until('it is closed', () => releases.waiting === 1);
  const resuming = refusal('resuming', () => model.resumeSession('ann'));
  await tick();
  releases.open();
  expect(await resuming).toMatchObject(isGone);
  await deleting;
});

test('two who create a session of one id at the same time: one of them has it', async () => {
  const model = await loadRecall();
  const both = [model.createSession({ id: 'ann' }), model.createSession({ id: 'ann' })];
  expect(await refusal('the second', () => both[1])).toMatchObject({ code: 'SESSION_EXISTS' });
  expect((await both[0])?.state).toBe('idle');
});

test('a fork under its own id, while it is being deleted, waits for nobody', async () => {
  const model = await loadRecall();
  const session = await model.createSession({ id: 'ann' });
  const fork = session.fork({ id: 'ann' });
  await within('delete()', session.delete());
  expect(await refusal('the fork', () => fork)).toMatchObject({ code: 'SESSION_EXISTS' });
});

test('an import in place of a session that is open here ends that one', async () => {
  const model = await loadRecall();
  const session = await model.createSession({ id: 'ann', ...GREEDY });
  await session.send('My name is Mosoba.');
  const file = join(await folder(), 'session.lls');
  await session.export(file);
  await session.send('My code is 3299.');
  const again = await model.importSession(file, { replace: true });
  expect([session.state, again.messages.length]).toEqual(['closed', 2]);
  expect(await says(again, 'What is my name?')).toBe('Your name is Mosoba.');
});

test('the life of an imported session begins anew', async () => {
  const time = holdTime();
  const model = await loadRecall();
  const session = await model.createSession({ id: 'ann', ttlMs: 10_000, ...GREEDY });
  await session.send('My name is Mosoba.');
  const file = join(await folder(), 'session.lls');
  await session.export(file);
  await session.delete();
  time.pass(60_000);
  const again = await model.importSession(file);
  time.pass(9000);
  expect(await says(again, 'What is my name?')).toBe('Your name is Mosoba.');
});

test('a record that lies under another id is the session of that id', async () => {
  const store = new MemoryStore();
  const model = await loadRecall({ store });
  const ann = await model.createSession({ id: 'ann', ...GREEDY });
  await ann.send('My name is Mosoba.');
  const record = await store.getRecord('ann');
  if (record === undefined) throw new Error('it was stored');
  await store.putRecord('bob', record.bytes, { expected: 0 });
  const bob = await model.resumeSession('bob');
  expect(bob.id).toBe('bob');
  await bob.send('My name is Vodai.');
  expect(await says(ann, 'What is my name?')).toBe('Your name is Mosoba.');
});

test('what is changed while the record is being written is written later', async () => {
  const store = new MemoryStore();
  const writes = gateBefore(store, 'putRecord');
  const model = await loadRecall({ store });
  const session = await model.createSession({ id: 'ann', metadata: { plan: 'free' }, ...GREEDY });
  writes.close();
  const turn = session.send('Hello!');
  await until('the turn is being written', () => writes.waiting === 1);
  await model.resumeSession('ann', { metadata: { plan: 'pro' } });
  writes.open();
  await turn;
  await session.close();
  expect((await model.resumeSession('ann')).metadata).toEqual({ plan: 'pro' });
});

test('rewind() is durable although the first write had seemed to fail', async () => {
  const store = new MemoryStore();
  const put = store.putRecord.bind(store);
  store.putRecord = async (...given) => {
    await put(...given);
    store.putRecord = put;
    throw new Error('the answer was lost');
  };
  const model = await loadRecall({ store });
  const session = await model.createSession({ id: 'ann', ...GREEDY });
  expect(await refusal('the turn', () => session.send('Hello!'))).toMatchObject({ code: 'STORE_FAILED' });
  await session.rewind(0);
  expect((await (await loadRecall({ store })).resumeSession('ann')).messages).toEqual([]);
});

test('close() of the model waits for sessions that are being opened, and lets go of them', async () => {
  const path = await folder();
  const store = new DirectoryStore(path);
  onTestFinished(() => store.close());
  const reads = gateBefore(store, 'getRecord');
  const model = await loadRecall({ store });
  reads.close();
  const creating = model.createSession({ id: 'ann' });
  await until('it is looked for', () => reads.waiting === 1);
  const closing = model.close();
  reads.open();
  expect(await refusal('creating', () => creating)).toMatchObject({ code: 'MODEL_CLOSED' });
  await within('close()', closing);
  const other = new DirectoryStore(path);
  onTestFinished(() => other.close());
  await within('claim()', other.claim('ann', false));
});

test('a listing of those that do something asks no store: none that is only stored does', async () => {
  const store = new MemoryStore();
  const model = await loadRecall({ store });
  for (const id of ['cat', 'ann', 'bob']) await (await model.createSession({ id })).save();
  await model.getSession('bob')?.close();
  const idsOf = async (filter: { state?: string; prefix?: string; cursor?: string; limit?: number }) => {
    const ids: string[] = [];
    for await (const { id } of model.listSessions(filter)) ids.push(id);
    return ids;
  };
  expect(await idsOf({ state: 'closed' })).toEqual(['bob']);
  store.listRecords = () => {
    throw new Error('it was asked');
  };
  expect(await idsOf({ state: 'idle' })).toEqual(['ann', 'cat']);
  expect(await idsOf({ state: 'idle', cursor: 'ann' })).toEqual(['cat']);
  expect(await idsOf({ state: 'idle', prefix: 'a' })).toEqual(['ann']);
  expect(await idsOf({ state: 'idle', limit: 1 })).toEqual(['ann']);
  expect(await idsOf({ state: 'running' })).toEqual([]);
});
