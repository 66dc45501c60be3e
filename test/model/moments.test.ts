/** What a session is at the moments when a turn begins, waits for the store, and ends. */
import { expect, test } from 'vitest';
import { MemoryStore } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { gateBefore, type Gate } from '../support/gate.js';
import { loadRecall, promptOf, SHORT, speaking } from '../support/models.js';

const FROM_STORE = { cache: { ramBytes: 0, restore: 'always', pageTokens: 32 } } as const;

function slowStore(): { store: MemoryStore; reads: Gate } {
  const store = new MemoryStore();
  return { store, reads: gateBefore(store, 'getPage') };
}

test('when a turn resolves its session is idle, and cancel() has nothing to end', async () => {
  const model = await loadRecall({ maxResident: 1 });
  const [session, other] = [await model.createSession(), await model.createSession()];
  await session.send('Hello!', SHORT);
  expect(session.state).toBe('idle');
  // The other one has the only sequence: this turn waits.
  const { turn: talk } = await speaking(model, other);
  const waiting = session.send('Hello!', SHORT);
  session.cancel();
  talk.cancel();
  expect((await waiting).finishReason).not.toBe('cancelled');
});

test('who hears that a turn runs, and sends in another session, takes nothing from it', async () => {
  const model = await loadRecall({ maxResident: 1 });
  const [first, second] = [await model.createSession(), await model.createSession()];
  const replies: PromiseLike<{ finishReason: string }>[] = [];
  first.on('state', ({ to }) => {
    if (to === 'running') replies.push(second.send('Hello!', SHORT));
  });
  replies.push(first.send('Hello!', SHORT));
  for (const reply of replies) expect((await within('a turn', Promise.resolve(reply))).finishReason).toBe('length');
  expect(replies).toHaveLength(2);
});

test('a turn that is stopped does not wait for a store that hangs', async () => {
  const { store, reads } = slowStore();
  const load = { ...FROM_STORE, store };
  const writer = await loadRecall(load);
  const session = await writer.createSession({ id: 'one' });
  await session.complete(promptOf(600), SHORT);
  await session.save();
  await writer.close();
  const model = await loadRecall(load);
  const again = await model.resumeSession('one');
  reads.close();
  const stops = new AbortController();
  const turns = {
    TIMEOUT: () => again.complete(promptOf(600), { ...SHORT, timeoutMs: 50 }),
    ABORTED: () => {
      const turn = again.complete(promptOf(600), { ...SHORT, signal: stops.signal });
      void until('it reads', () => again.state === 'running').then(() => {
        stops.abort();
      });
      return turn;
    },
  };
  for (const [code, turn] of Object.entries(turns)) expect(await refusal(code, turn)).toMatchObject({ code });
  const cancelled = again.complete(promptOf(600), SHORT);
  await until('it reads', () => again.state === 'running');
  cancelled.cancel();
  expect((await within('cancel()', cancelled)).finishReason).toBe('cancelled');
  reads.open();
  expect((await again.complete(promptOf(600), SHORT)).usage.cachedTokens).toBeGreaterThan(500);
});

test('a turn that came to nothing has dropped nothing', async () => {
  const { store, reads } = slowStore();
  const model = await loadRecall({ ...FROM_STORE, store, contextTokens: 256, maxResident: 1 });
  const session = await model.createSession({ overflow: 'dropOldest', maxTokens: 24, sampling: { temperature: 0 } });
  // All alike, so that what is left without the oldest is still the beginning of what the KV is of.
  let dropped = 0;
  while (dropped === 0) dropped = (await session.send('My name is Mosoba.')).dropped.length;
  while (session.messages.length < 12) await session.send('My name is Mosoba.');
  await session.save();
  await session.park();
  const before = session.messages;
  reads.close();
  const turn = session.send('My name is Mosoba. '.repeat(10));
  await until('it reads', () => reads.waiting > 0);
  turn.cancel();
  const { text, ...reply } = await within('the turn', turn);
  expect([text, reply.dropped, session.messages]).toEqual(['', [], before]);
});

test('a session that is parked while save() looks for its pages in the store loses none of them', async () => {
  const { store, reads } = slowStore();
  const model = await loadRecall({ store, maxResident: 1, cache: { pageTokens: 16, restore: 'always' } });
  const [session, other] = [await model.createSession(), await model.createSession()];
  await session.complete(promptOf(100), SHORT);
  reads.close();
  const saving = session.save();
  await until('it looks', () => reads.waiting > 0);
  await other.send('Hello!', SHORT); // needs the only sequence
  reads.open();
  await within('save()', saving);
  expect(model.stats()['storedPages']).toBe(6); // the rest is too short for one
  expect((await session.complete(promptOf(100), SHORT)).usage.cachedTokens).toBeGreaterThan(90);
});

test('in streams, a turn that was refused leaves the KV as it was', async () => {
  const model = await loadRecall({ kvLayout: 'streams', maxResident: 2, store: new MemoryStore() });
  const session = await model.createSession();
  await session.complete(promptOf(100), SHORT);
  const wrong = { ...SHORT, sampling: { grammar: 'root ::= (' } };
  const refused = session.complete([...promptOf(50), 7, 7], wrong);
  expect(await refusal('the turn', () => refused)).toMatchObject({ code: 'GRAMMAR_INVALID' });
  await session.save();
  await session.park();
  expect((await session.complete(promptOf(100), SHORT)).usage.cachedTokens).toBeGreaterThan(90);
});
