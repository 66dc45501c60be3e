/** Sessions that change hands, are deleted, replaced, or expire while another process has them. */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { DirectoryStore, RedisStore, type Model, type Session } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { gateBefore } from '../support/gate.js';
import { folder, loadRecall, says, speaking } from '../support/models.js';
import { redisStores } from '../support/redis-stores.js';
import { holdTime } from '../support/time.js';

const GREEDY = { sampling: { temperature: 0 } };
const isGone = { code: 'SESSION_NOT_FOUND' };
const isTaken = { code: 'SESSION_CONFLICT' };

/** What makes store objects, each as another process would have it, on the same sessions. */
type Stores = () => DirectoryStore | RedisStore;

const { server } = redisStores();

async function inDirectory(): Promise<Stores> {
  const path = await folder();
  return () => new DirectoryStore(path);
}

async function inRedis(): Promise<Stores> {
  const client = await server.client();
  onTestFinished(() => {
    client.destroy();
  });
  return () => new RedisStore(client);
}

describe.each([
  ['a directory', inDirectory],
  ['Redis', inRedis],
])('two processes, as it were, with a store object each, in %s', (_, storesIn) => {
  let path: string;
  let newStore: Stores;
  let here: Model;
  let there: Model;
  let mine: Session;
  beforeEach(async () => {
    path = await folder();
    const stores = await storesIn();
    newStore = () => {
      const store = stores();
      onTestFinished(() => store.close());
      return store;
    };
    here = await loadRecall({ store: newStore() });
    there = await loadRecall({ store: newStore() });
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

  test('nor is it deleted when it is taken over in a turn that outlasts its time: it lives on', async () => {
    const time = holdTime();
    there = await loadRecall({ store: newStore() }); // which looks after its sessions by that time
    await open({ ttlMs: 10_000 });
    const { turn } = await speaking(here, mine);
    time.pass(11_000);
    expect(await refusal('resuming', () => there.resumeSession('ann'))).toMatchObject(isTaken);
    const theirs = await there.resumeSession('ann', { takeOver: true });
    time.pass(9000);
    await theirs.park();
    expect(await says(theirs, 'What is my name?')).toBe('Your name is Mosoba.');
    turn.cancel();
    expect(await refusal('the turn', () => turn)).toMatchObject(isTaken);
  });

  test('who would take over what has expired, and nobody has open, finds nothing', async () => {
    const time = holdTime();
    await open({ ttlMs: 10_000 });
    await mine.close();
    time.pass(11_000);
    const taking = there.resumeSession('ann', { takeOver: true });
    expect(await refusal('taking over', () => taking)).toMatchObject(isGone);
    expect((await here.createSession({ id: 'ann' })).state).toBe('idle');
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

  test('who finds nothing to take over takes no claim', async () => {
    mine = await here.createSession({ id: 'ann', ...GREEDY }); // not stored yet
    const taking = there.resumeSession('ann', { takeOver: true });
    expect(await refusal('taking over', () => taking)).toMatchObject(isGone);
    await mine.send('My name is Mosoba.');
    expect(await refusal('resuming', () => there.resumeSession('ann'))).toMatchObject(isTaken);
    expect(await says(mine, 'What is my name?')).toBe('Your name is Mosoba.');
  });

  test('one that was taken over, deleted and made anew elsewhere is not written over', async () => {
    await open();
    await (await there.resumeSession('ann', { takeOver: true })).delete();
    const theirs = await there.createSession({ id: 'ann', ...GREEDY });
    await theirs.send('My code is 3299.');
    await theirs.close();
    expect(await refusal('the turn', () => mine.send('Hello!'))).toMatchObject(isTaken);
    expect(await says(await there.resumeSession('ann'), 'What is my code?')).toBe('Your code is 3299.');
  });

  test('a model lets go of nothing that another one of the same store object has open', async () => {
    const store = newStore();
    const [first, second] = [await loadRecall({ store }), await loadRecall({ store })];
    const session = await first.createSession({ id: 'bob', ...GREEDY });
    await session.send('My name is Mosoba.');
    expect(await refusal('creating', () => second.createSession({ id: 'bob' }))).toMatchObject({
      code: 'SESSION_EXISTS',
    });
    expect(await refusal('resuming', () => there.resumeSession('bob'))).toMatchObject(isTaken);
    expect(await says(session, 'What is my name?')).toBe('Your name is Mosoba.');
  });

  test('when two models of one store object fail to open a session at the same time, nobody has claimed it', async () => {
    await open();
    await mine.close();
    const store = newStore();
    const reads = gateBefore(store, 'getRecord');
    const both = [await loadRecall({ store }), await loadRecall({ store })];
    reads.close();
    const creating = both.map((model) => refusal('creating', () => model.createSession({ id: 'ann' })));
    await until('both have claimed it', () => reads.waiting === 2);
    reads.open();
    expect(await Promise.all(creating)).toMatchObject([{ code: 'SESSION_EXISTS' }, { code: 'SESSION_EXISTS' }]);
    expect(await says(await there.resumeSession('ann'), 'What is my name?')).toBe('Your name is Mosoba.');
  });

  test('what a model lets go of, while another one of the same store object opens it, that one has claimed', async () => {
    const store = newStore();
    const releases = gateBefore(store, 'release'); // a store may take its time, and take calls in any order
    const [first, second] = [await loadRecall({ store }), await loadRecall({ store })];
    const session = await first.createSession({ id: 'bob', ...GREEDY });
    await session.send('My name is Mosoba.');
    releases.close();
    const closing = session.close();
    await until('it lets go', () => releases.waiting === 1);
    const opening = second.resumeSession('bob');
    await Promise.race([opening, pause(100)]);
    releases.open();
    await within('closing', closing);
    const theirs = await within('opening', opening);
    expect(await refusal('resuming', () => there.resumeSession('bob'))).toMatchObject(isTaken);
    expect(await says(theirs, 'What is my name?')).toBe('Your name is Mosoba.');
  });

  test('nor does a model let go of what one that is being closed still writes', async () => {
    const store = newStore();
    const writes = gateBefore(store, 'putRecord');
    const first = await loadRecall({ store });
    await (await first.createSession({ id: 'bob', ...GREEDY })).send('My name is Mosoba.');
    await first.resumeSession('bob', { metadata: { seen: 'yes' } });
    writes.close();
    const closing = first.close();
    await until('it writes', () => writes.waiting === 1);
    const second = await loadRecall({ store });
    expect(await refusal('creating', () => second.createSession({ id: 'bob' }))).toMatchObject({
      code: 'SESSION_EXISTS',
    });
    expect(await refusal('resuming', () => there.resumeSession('bob'))).toMatchObject(isTaken);
    writes.open();
    await within('close()', closing);
    expect((await there.resumeSession('bob')).metadata).toEqual({ seen: 'yes' });
  });

  test('wrong options take nothing from who has it open', async () => {
    await open();
    const wrong = { takeOver: true, maxTokens: '7' } as unknown as { takeOver: true };
    expect(await refusal('resuming', () => there.resumeSession('ann', wrong))).toBeInstanceOf(TypeError);
    expect(await refusal('resuming', () => there.resumeSession('ann'))).toMatchObject(isTaken);
    expect(await says(mine, 'What is my name?')).toBe('Your name is Mosoba.');
  });

  test('who would create, import or resume what another one has open is told what to do', async () => {
    await open();
    const file = join(path, 'session.lls');
    await mine.export(file);
    const calls = [
      () => there.createSession({ id: 'ann' }),
      () => there.importSession(file, { replace: true }),
      () => there.resumeSession('ann'),
    ];
    for (const call of calls) {
      const error = await refusal('a call', call);
      expect(error).toMatchObject(isTaken);
      // Only one of them has the option.
      expect(error.message).toMatch(/close it there, or take it over: resumeSession\(id, \{ takeOver: true \}\)\.$/);
    }
  });

  test('what is deleted elsewhere has ended here with the next turn', async () => {
    await open();
    expect(await there.deleteSession('ann')).toBe(true);
    expect(await refusal('the turn', () => mine.send('Hello!'))).toMatchObject(isTaken);
    expect(await refusal('resuming', () => here.resumeSession('ann'))).toMatchObject(isGone);
  });
});
