/** Sessions that are opened, deleted, replaced, or expire while somebody else has them, or wants them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { DirectoryStore, MemoryStore, type Model, type Session } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { Gate } from '../support/gate.js';
import { loadRecall } from '../support/models.js';
import { holdTime } from '../support/time.js';
import { tick } from '../support/turns.js';

const GREEDY = { sampling: { temperature: 0 } };
const isGone = { code: 'SESSION_NOT_FOUND' };
const isTaken = { code: 'SESSION_CONFLICT' };

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'handover-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

async function says(session: Session, text: string): Promise<string> {
  return (await session.send(text)).text;
}

describe('two processes, as it were, with a store object each', () => {
  let path: string;
  let here: Model;
  let there: Model;
  let mine: Session;
  beforeEach(async () => {
    path = await folder();
    here = await loadRecall({ store: path });
    there = await loadRecall({ store: path });
  });

  const open = async (options: object = {}): Promise<void> => {
    mine = await here.createSession({ id: 'ann', ...GREEDY, ...options });
    await mine.send('My name is Mosoba.');
  };

  test('a session that expires where it was deletes nothing of who has taken it over', async () => {
    const time = holdTime();
    await open({ ttlMs: 10_000 });
    const events: string[] = [];
    mine.on('expired', () => events.push('expired'));
    mine.on('error', ({ message }) => events.push(message));
    time.pass(6000);
    const theirs = await there.resumeSession('ann', { takeOver: true });
    await theirs.send('My code is 3299.');
    time.pass(5000);
    await until('it has ended here', () => mine.state === 'closed');
    expect(events).toEqual([]);
    expect(await says(theirs, 'What is my name?')).toBe('Your name is Mosoba.');
    await theirs.close();
    expect(await says(await here.resumeSession('ann'), 'What is my code?')).toBe('Your code is 3299.');
  });

  test('nor when the other one has not spoken yet', async () => {
    const time = holdTime();
    await open({ ttlMs: 10_000 });
    const theirs = await there.resumeSession('ann', { takeOver: true, ttlMs: 100_000 });
    time.pass(11_000);
    await until('it has ended here', () => mine.state === 'closed');
    expect(await says(theirs, 'What is my name?')).toBe('Your name is Mosoba.');
  });

  test('an import that would replace what another process has open is refused, and nothing has changed', async () => {
    await open();
    const file = join(path, 'session.lls');
    await mine.export(file);
    await mine.send('My code is 3299.');
    expect(await refusal('the import', () => there.importSession(file, { replace: true }))).toMatchObject(isTaken);
    expect(await says(mine, 'What is my code?')).toBe('Your code is 3299.');
    await mine.close();
    expect((await there.importSession(file, { replace: true })).messages).toHaveLength(2);
  });

  test('save() and rewind() of a session that was taken over say so', async () => {
    await open();
    const theirs = await there.resumeSession('ann', { takeOver: true });
    await theirs.send('My code is 3299.');
    const calls = [mine.send('I live in Dorin.'), mine.save(), mine.rewind(0)];
    for (const call of calls) expect(await refusal('a call', () => call)).toMatchObject(isTaken);
    await within('close()', mine.close());
    expect(theirs.messages).toHaveLength(4);
  });

  test('who takes over what is open here, but has gone on elsewhere, gets what is there', async () => {
    await open();
    const theirs = await there.resumeSession('ann', { takeOver: true });
    await theirs.send('My code is 3299.');
    await theirs.close();
    const again = await here.resumeSession('ann', { takeOver: true });
    expect([again === mine, mine.state, again.messages.length]).toEqual([false, 'closed', 4]);
    expect(await says(again, 'What is my code?')).toBe('Your code is 3299.');
    // And what has not gone on elsewhere stays as it is.
    expect(await here.resumeSession('ann', { takeOver: true })).toBe(again);
  });

  test('wrong options take nothing from who has it open', async () => {
    await open();
    const wrong = { takeOver: true, maxTokens: '7' } as unknown as { takeOver: true };
    expect(await refusal('resuming', () => there.resumeSession('ann', wrong))).toBeInstanceOf(TypeError);
    expect(await refusal('resuming', () => there.resumeSession('ann'))).toMatchObject(isTaken);
    expect(await says(mine, 'What is my name?')).toBe('Your name is Mosoba.');
  });

  test('what is deleted elsewhere has ended here with the next turn', async () => {
    await open();
    expect(await there.deleteSession('ann')).toBe(true);
    expect(await refusal('the turn', () => mine.send('Hello!'))).toMatchObject(isTaken);
    expect(await refusal('resuming', () => here.resumeSession('ann'))).toMatchObject(isGone);
  });
});

describe('one process', () => {
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
    const releases = new Gate();
    const release = store.release.bind(store);
    store.release = async (id) => {
      await releases.pass();
      await release(id);
    };
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
    const writes = new Gate();
    const put = store.putRecord.bind(store);
    store.putRecord = async (...given) => {
      await writes.pass();
      return put(...given);
    };
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

  test('close() of the model waits for sessions that are being opened, and lets go of them', async () => {
    const path = await folder();
    const store = new DirectoryStore(path);
    onTestFinished(() => store.close());
    const reads = new Gate();
    const get = store.getRecord.bind(store);
    store.getRecord = async (id) => {
      await reads.pass();
      return get(id);
    };
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
});
