/** Who leaves the device, and when; what stays behind in RAM. */
import { expect, test, vi } from 'vitest';
import type { Model, Session, SessionOptions } from '../../lib/index.js';
import { until } from '../support/deadline.js';
import { loadRecall, LONG } from '../support/models.js';
import { NAMES } from '../support/recall.js';
import { holdTime } from '../support/time.js';

const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };

/** A session that has told its name. */
async function told(model: Model, index: number, options: SessionOptions = {}): Promise<Session> {
  const session = await model.createSession({ ...GREEDY, ...options });
  await session.send(`My name is ${NAMES[index] ?? ''}.`);
  return session;
}

async function remembers(session: Session, index: number): Promise<void> {
  const { text, usage } = await session.send('What is my name?');
  expect(text).toBe(`Your name is ${NAMES[index] ?? ''}.`);
  expect(usage.cachedTokens).toBeGreaterThan(16);
}

test('the lowest priority leaves first, then who has been idle for longest; who is pinned, last', async () => {
  const model = await loadRecall({ maxResident: 3, cache: { restore: 'always' } });
  const sessions: Record<string, Session> = {};
  const places = (): string => {
    const on = Object.entries(sessions).filter(([, { residency }]) => residency === 'device');
    return on.map(([name]) => name).join(' ');
  };
  const speaks = async (name: string, options: SessionOptions): Promise<void> => {
    sessions[name] = await told(model, Object.keys(sessions).length, options);
  };
  await speaks('pinned', { pinned: true });
  await speaks('high', { priority: 5 });
  await speaks('low', { priority: -5 });
  expect(places()).toBe('pinned high low');
  await speaks('middle', {});
  expect(places()).toBe('pinned high middle');
  await speaks('equal', {});
  expect(places()).toBe('pinned high equal');
  // By its priority it would have to go at once; but for who speaks, somebody else has to.
  await remembers(sessions['low']!, 2);
  expect(places()).toBe('pinned high low');
  await speaks('higher', { priority: 6 });
  await speaks('highest', { priority: 7 });
  expect(places()).toBe('pinned higher highest');
  await speaks('second pinned', { pinned: true });
  await speaks('third pinned', { pinned: true, priority: -1000 });
  expect(places()).toBe('pinned second pinned third pinned');
  await speaks('fourth pinned', { pinned: true });
  expect(places()).toBe('second pinned third pinned fourth pinned');
  for (const [i, session] of Object.values(sessions).entries()) await remembers(session, i);
  expect(model.stats()['kvMisses']).toBe(0);
});

test('what a session is resumed with counts from then on', async () => {
  const model = await loadRecall({ maxResident: 2 });
  const [first, second] = [await told(model, 0, { id: 'first' }), await told(model, 1)];
  expect(await model.resumeSession('first', { pinned: true })).toBe(first);
  await told(model, 2);
  expect([first.residency, second.residency]).toEqual(['device', 'ram']);
  await model.resumeSession('first', { pinned: false });
  await told(model, 3);
  await told(model, 4);
  expect(first.residency).toBe('ram');
});

test('when cells are short, those who are pinned stay on the device too', async () => {
  const model = await loadRecall({ maxResident: 8, contextTokens: 512 });
  const pinned = await told(model, 0, { pinned: true });
  const others = [await told(model, 1, { priority: 9 }), await told(model, 2), await told(model, 3)];
  const talker = await model.createSession(GREEDY);
  await talker.send('Tell me a story.', { ...LONG, maxTokens: 450 });
  // Only as many leave as must: one, at least.
  expect([pinned.residency, others[1]!.residency]).toEqual(['device', 'ram']);
});

test('after cache.idleMs a session leaves the device by itself, with an event, and comes back', async () => {
  const time = holdTime();
  const model = await loadRecall({ cache: { idleMs: 30_000, restore: 'always' } });
  const [one, two] = [await told(model, 0), await told(model, 1, { pinned: true })];
  const parked: unknown[] = [];
  for (const session of [one, two]) session.on('parked', (event) => parked.push(event));
  time.pass(29_000);
  expect([one.residency, two.residency, model.stats()['residentSessions']]).toEqual(['device', 'device', 2]);
  await remembers(one, 0);
  // Who has spoken since has 30 seconds more. To be pinned is about others who need the place.
  time.pass(2000);
  expect([one.residency, two.residency]).toEqual(['device', 'ram']);
  time.pass(29_000);
  expect([one.residency, two.residency, model.stats()['residentSessions']]).toEqual(['ram', 'ram', 0]);
  await until('both events', () => parked.length === 2);
  expect(parked).toEqual([{ tier: 'ram' }, { tier: 'ram' }]);
  await remembers(one, 0);
  await remembers(two, 1);
  expect(model.stats()).toMatchObject({ parks: 2, ramRestores: 2, kvMisses: 0 });
});

test('with cache.idleMs 0 it leaves soon after the turn, never in the middle of one', async () => {
  const time = holdTime();
  const model = await loadRecall({ cache: { idleMs: 0, restore: 'always' } });
  const session = await told(model, 0);
  const events: string[] = [];
  for (const event of ['turn', 'parked'] as const) session.on(event, () => events.push(event));
  const before = model.stats().generatedTokens ?? 0;
  const turn = session.send('Tell me a story.', { ...LONG, maxTokens: 400 });
  await until('the first words', () => (model.stats().generatedTokens ?? 0) > before + 5);
  for (let i = 0; i < 10; i++) time.pass(1000);
  expect([events, session.state, session.residency]).toEqual([[], 'running', 'device']);
  await turn;
  time.pass(1000);
  await until('it is parked', () => events.length === 2);
  expect([events, session.residency]).toEqual([['turn', 'parked'], 'ram']);
  expect((await session.send('Go on.')).usage.cachedTokens).toBeGreaterThan(400);
});

test('a closed model parks nobody any more', async () => {
  const time = holdTime();
  const model = await loadRecall({ cache: { idleMs: 0 } });
  await told(model, 0);
  await model.close();
  const { parks } = model.stats();
  for (let i = 0; i < 100; i++) time.pass(1000);
  expect(model.stats()['parks']).toBe(parks);
  expect(vi.getTimerCount()).toBe(0);
});

test('what a session has left behind in RAM goes with it', async () => {
  const model = await loadRecall({ cache: { restore: 'always' } });
  const session = await model.createSession({ id: 'one', ...GREEDY });
  for (const message of ['My name is Mosoba.', 'My code is 3299.', 'I live in Kabela.', 'Hello!']) {
    await session.send(message);
    await session.park();
  }
  // One short page holds all of it; those that it has grown out of are of no use to anybody.
  expect(model.stats()['ramKvBytes']).toBeGreaterThan(0);
  await session.delete();
  expect(model.stats()['ramKvBytes']).toBe(0);
});
