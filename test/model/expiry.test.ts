/** `ttlMs`: sessions that end by themselves, and those that must not. Then: a clock that is wrong. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { DirectoryStore, MemoryStore, type Model, type Session } from '../../lib/index.js';
import { refusal, until } from '../support/deadline.js';
import { gateBefore } from '../support/gate.js';
import { folder, loadRecall, LONG, says, speaking } from '../support/models.js';
import { NAMES } from '../support/recall.js';
import { holdTime } from '../support/time.js';

const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** Notes what the session tells of its end. */
function heard(session: Session): string[] {
  const events: string[] = [];
  session.on('expiring', ({ expiresAt }) => events.push(`expiring ${expiresAt.toISOString()}`));
  session.on('expired', () => events.push('expired'));
  session.on('error', (error) => events.push(String(error)));
  return events;
}

async function idsOf(model: Model): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of model.listSessions()) ids.push(id);
  return ids;
}

const isGone = { code: 'SESSION_NOT_FOUND' };

test('an idle session is told once that it will expire, then that it has; to speak gives it another life', async () => {
  const time = holdTime();
  const store = new MemoryStore();
  const model = await loadRecall({ store });
  const session = await model.createSession({ id: 'one', ttlMs: 100_000, ...GREEDY });
  const events = heard(session);
  const dies = (): string => new Date(Date.now() + 100_000).toISOString();
  await says(session, 'My name is Mosoba.');
  const first = dies();
  time.pass(89_000);
  expect(events).toEqual([]);
  time.pass(2000);
  time.pass(4000);
  // A tenth of its time is left, and it is told once.
  expect(events).toEqual([`expiring ${first}`]);
  expect(await says(session, 'What is my name?')).toBe('Your name is Mosoba.');
  const second = dies();
  time.pass(89_000);
  expect(events).toHaveLength(1);
  time.pass(10_000);
  expect(events.slice(1)).toEqual([`expiring ${second}`]);
  expect(session.state).toBe('idle');
  time.pass(1000);
  await until('it has expired', () => events.length > 2);
  await until('it has left', () => model.getSession('one') === undefined && model.stats().openSessions === 0);
  time.pass(300_000);
  expect(events.slice(2)).toEqual(['expired']);
  expect(session.state).toBe('closed');
  expect(await refusal('send()', () => session.send('Hello'))).toMatchObject({ code: 'SESSION_CLOSED' });
  expect(await refusal('resumeSession()', () => model.resumeSession('one'))).toMatchObject(isGone);
  expect([await store.getRecord('one'), await idsOf(model), model.stats()['storedPages']]).toEqual([undefined, [], 0]);
  expect((await (await model.createSession({ id: 'one', ...GREEDY })).send('What is my name?')).text).toBe(
    'You have not told me your name.',
  );
});

test('of a long life the warning comes a minute before its end', async () => {
  const time = holdTime();
  const model = await loadRecall();
  const session = await model.createSession({ ttlMs: DAY });
  const events = heard(session);
  time.pass(DAY - 62_000);
  expect(events).toEqual([]);
  time.pass(2000);
  expect(events).toEqual([expect.stringMatching(/^expiring /)]);
});

test('a turn that is longer than the life of its session is not disturbed', async () => {
  const time = holdTime();
  const model = await loadRecall();
  const session = await model.createSession({ ttlMs: 10_000, ...GREEDY });
  const events = heard(session);
  const turn = session.send('Tell me a story.', { ...LONG, maxTokens: 400 });
  await until('the first words', () => (model.stats().generatedTokens ?? 0) > 5);
  time.pass(100_000);
  expect([events, session.state]).toEqual([[], 'running']);
  expect((await turn).usage.generatedTokens).toBe(400);
  await until('it is idle', () => session.state === 'idle');
  // Its time begins when the turn has ended.
  time.pass(8000);
  expect([events, session.state]).toEqual([[], 'idle']);
  time.pass(3000);
  await until('it has expired', () => events.at(-1) === 'expired');
});

describe('the time of a session is over while a turn of it goes on, which ends', () => {
  test('aborted in the queue: the idle life begins anew, here and in the store', async () => {
    const time = holdTime();
    const store = new MemoryStore();
    const model = await loadRecall({ store, maxResident: 1 });
    const session = await model.createSession({ id: 'one', ttlMs: 10_000, ...GREEDY });
    await session.send('My name is Mosoba.');
    const events = heard(session);
    const other = await speaking(model, await model.createSession());
    const controller = new AbortController();
    const waiting = refusal('the turn', () => session.send('Hello', { signal: controller.signal }));
    time.pass(100_000);
    controller.abort();
    expect(await waiting).toMatchObject({ code: 'ABORTED' });
    time.pass(8000);
    other.turn.cancel();
    await other.turn;
    expect(events).toEqual([expect.stringContaining('AbortError')]);
    expect(session.state).toBe('idle');
    await session.close();
    expect(await says(await model.resumeSession('one'), 'What is my name?')).toBe('Your name is Mosoba.');
    const mortal = heard(await model.resumeSession('one'));
    time.pass(11_000);
    await until('it has expired', () => mortal.at(-1) === 'expired');
  });

  test('kept by a store that takes its time', async () => {
    const time = holdTime();
    const store = new MemoryStore();
    const writes = gateBefore(store, 'putRecord');
    const model = await loadRecall({ store });
    const session = await model.createSession({ id: 'one', ttlMs: 10_000, ...GREEDY });
    const events = heard(session);
    writes.close();
    const turn = session.send('My name is Mosoba.');
    await until('the record is being written', () => writes.waiting === 1);
    time.pass(100_000);
    writes.open();
    await turn;
    time.pass(8000);
    await session.save();
    expect(events).toEqual([]);
    time.pass(3000);
    await until('it has expired', () => events.at(-1) === 'expired');
    expect(model.stats()).toMatchObject({ openSessions: 0 });
  });
});

test('a session that is given more time just before its end lives on', async () => {
  const time = holdTime();
  const store = new MemoryStore();
  const reads = gateBefore(store, 'getRecord');
  const model = await loadRecall({ store });
  const session = await model.createSession({ id: 'one', ttlMs: 10_000, ...GREEDY });
  const events = heard(session);
  await session.send('My name is Mosoba.');
  reads.close();
  const resuming = model.resumeSession('one', { takeOver: true, ttlMs: 1e6 });
  await until('the store is asked', () => reads.waiting === 1);
  time.pass(11_000);
  reads.open();
  expect(await resuming).toBe(session);
  expect(await says(session, 'What is my name?')).toBe('Your name is Mosoba.');
  expect(events.filter((event) => !event.startsWith('expiring'))).toEqual([]);
});

test.each<[string, () => Promise<MemoryStore | DirectoryStore>]>([
  ['memory', () => Promise.resolve(new MemoryStore())],
  ['a directory', async () => new DirectoryStore(await folder())],
])('what %s keeps past its time is swept; what is open or has been given more time stays', async (_, make) => {
  const time = holdTime();
  const store = await make();
  onTestFinished(() => store.close());
  const model = await loadRecall({ store, cache: { idleMs: 2 ** 31 - 1 } });
  const sessions = {
    open: { ttlMs: 5000 },
    'expires 1': { ttlMs: 5000 },
    'expires 2': { ttlMs: 30_000 },
    extended: { ttlMs: 5000 },
    later: { ttlMs: 10 * MINUTE },
    never: {},
  };
  for (const [i, [id, options]] of Object.entries(sessions).entries()) {
    const session = await model.createSession({ id, ...options, ...GREEDY });
    await session.send(`My name is ${NAMES[i] ?? ''}.`);
    await session.save();
    await session.close();
  }
  expect(model.stats()['storedPages']).toBe(6);
  // Not written yet: the store believes that its time is over soon. The session knows better.
  const open = await model.resumeSession('open', { ttlMs: DAY });
  await (await model.resumeSession('extended', { ttlMs: DAY })).close();
  time.pass(MINUTE + 1000);
  const left = async (): Promise<string[]> => {
    const ids: string[] = [];
    for await (const { id } of store.listRecords()) ids.push(id);
    return ids;
  };
  await expect.poll(left).toEqual(['extended', 'later', 'never', 'open']);
  expect(await store.listExpired(Date.now(), 9)).toEqual(['open']);
  await expect.poll(() => model.stats()['storedPages']).toBe(4);
  expect((await open.send('What is my name?')).text).toContain(NAMES[0]);
  expect(await store.listExpired(Date.now(), 9)).toEqual([]);
  time.pass(10 * MINUTE);
  await expect.poll(left).toEqual(['extended', 'never', 'open']);
});

test.each(['is swept', 'is asked for'])(
  'nothing of what was said stays in RAM when an expired session %s',
  async (how) => {
    const time = holdTime();
    const model = await loadRecall({ store: new MemoryStore() });
    const session = await model.createSession({ id: 'one', ttlMs: 5000, ...GREEDY });
    await session.send('My name is Mosoba.');
    await session.close();
    expect(model.stats()['ramKvBytes']).toBeGreaterThan(0);
    if (how === 'is swept') {
      time.pass(MINUTE + 1000);
    } else {
      time.pass(6000);
      expect(await refusal('resuming', () => model.resumeSession('one'))).toMatchObject(isGone);
    }
    await expect.poll(() => model.stats()['ramKvBytes']).toBe(0);
  },
);

test('the sweep of one owner leaves alone what is open at another', async () => {
  const time = holdTime();
  const path = await folder();
  const here = await loadRecall({ store: path });
  const session = await here.createSession({ id: 'one', ttlMs: 5000, ...GREEDY });
  await session.send('My name is Mosoba.');
  await session.close();
  const open = await here.resumeSession('one', { ttlMs: DAY });
  const orphan = await here.createSession({ id: 'two', ttlMs: 5000, ...GREEDY });
  await orphan.send('Hello!');
  await orphan.close();
  // It begins later, so that its sweeps are its own.
  const there = await loadRecall({ store: path });
  time.pass(MINUTE + 1000);
  const store = new DirectoryStore(path);
  onTestFinished(() => store.close());
  await expect.poll(() => store.listExpired(Date.now(), 9)).toEqual(['one']);
  expect((await open.send('What is my name?')).text).toBe('Your name is Mosoba.');
  await there.close();
});

test('more sessions than one look finds expire in one sweep', async () => {
  const time = holdTime();
  const store = new MemoryStore();
  const model = await loadRecall({ store });
  for (let i = 0; i < 300; i++) await (await model.createSession({ ttlMs: 1000 })).close();
  const expired = async (): Promise<number> => (await store.listExpired(Date.now(), 999)).length;
  time.pass(MINUTE + 1000);
  await expect.poll(expired).toBe(0);
});

test.each(['1970-01-01T00:00:00Z', '2001-09-09T01:46:40Z', '2100-01-01T00:00:00Z'])(
  'the clock is set to %s in the middle: nothing is lost or refused',
  async (moment) => {
    const time = holdTime();
    const path = await folder();
    const model = await loadRecall({ store: path, cache: { idleMs: 5000, restore: 'always' } });
    const session = await model.createSession({ id: 'one', ...GREEDY });
    const events = heard(session);
    await session.send('My name is Mosoba.');
    await session.save();
    time.setClock(new Date(moment));
    expect((await session.send('My code is 3299.')).usage.cachedTokens).toBeGreaterThan(16);
    const young = await model.createSession({ id: 'young', ...GREEDY });
    await young.send('My name is Vodai.');
    await young.close();
    const mortal = await model.createSession({ id: 'two', ttlMs: 100_000, ...GREEDY });
    const end = heard(mortal);
    await says(mortal, 'My name is Kelin.');
    time.pass(6000);
    expect([session.residency, mortal.residency]).toEqual(['ram', 'ram']);
    expect((await session.send('What is my name?')).text).toBe('Your name is Mosoba.');
    await session.save();
    await session.close();
    expect(await idsOf(model)).toEqual(['one', 'two', 'young']);
    const again = await model.resumeSession('one');
    expect((await again.send('What is my code?')).text).toBe('Your code is 3299.');
    await again.save();
    time.pass(120_000);
    await until('the other one has left', () => model.getSession('two') === undefined);
    expect([events, end.at(-1)]).toEqual([[], 'expired']);
    await model.close();

    // Another process, whose clock is right again.
    time.setClock(new Date('2030-01-01T00:00:00Z'));
    const other = await loadRecall({ store: path, cache: { restore: 'always' } });
    const resumed = await other.resumeSession('one');
    const reply = await resumed.send('What is my name?');
    expect([reply.text, reply.usage.cachedTokens > 16]).toEqual(['Your name is Mosoba.', true]);
    expect(await idsOf(other)).toEqual(['one', 'young']);
    expect((await (await other.resumeSession('young')).send('What is my name?')).text).toBe('Your name is Vodai.');
    expect(other.stats()).toMatchObject({ kvMisses: 0, storeRestores: 2 });
  },
);
