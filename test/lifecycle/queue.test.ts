/** Turns that wait: bounded, in order, by priority, and all of them get their answer. */
import { expect, test } from 'vitest';
import { LlamaError } from '../../lib/index.js';
import type { Reply, Session } from '../../lib/index.js';
import { refusal, within } from '../support/deadline.js';
import { loadRecall, LONG, SHORT, speaking } from '../support/models.js';
import { codeOf, NAMES } from '../support/recall.js';

const greedy = { sampling: { temperature: 0 } };

test('beyond maxQueued send() is refused at once with QUEUE_FULL, and goes again later', async () => {
  const model = await loadRecall({ maxResident: 1, maxQueued: 3 });
  const sessions = await Promise.all([0, 1, 2, 3, 4].map(() => model.createSession()));
  const [first, ...others] = sessions as [Session, ...Session[]];
  const { turn } = await speaking(model, first);
  const waiting = others.slice(0, 3).map((session) => session.send('Hello', SHORT));
  const [last] = others.slice(3) as [Session];
  const error = await refusal('one too many', () => last.send('Hello', SHORT), 500);
  expect(error).toBeInstanceOf(LlamaError);
  expect(error).toMatchObject({ code: 'QUEUE_FULL' });
  expect(last).toMatchObject({ state: 'idle', messages: [] });
  expect(model.stats()).toMatchObject({ queuedTurns: 3, failedTurns: 1 });
  // What needs no place waits beside the limit.
  await within('save() and close()', Promise.all([last.save(), last.close()]));
  turn.cancel();
  await within('those that waited', Promise.all(waiting));
  await within('the one that was refused', first.send('Hello', SHORT));
});

test('a cancelled turn leaves its place in the queue to another', async () => {
  const model = await loadRecall({ maxResident: 1, maxQueued: 1 });
  const [first, second, third] = (await Promise.all([0, 1, 2].map(() => model.createSession()))) as [
    Session,
    Session,
    Session,
  ];
  const { turn } = await speaking(model, first);
  const waiting = second.send('Hello', SHORT);
  expect(await refusal('no place', () => third.send('Hello', SHORT))).toMatchObject({ code: 'QUEUE_FULL' });
  waiting.cancel();
  const next = third.send('Hello', SHORT);
  turn.cancel();
  expect((await within('the next', next)).finishReason).not.toBe('cancelled');
});

test('higher priorities go first, equal ones in order of arrival', async () => {
  const model = await loadRecall({ maxResident: 1 });
  const { turn } = await speaking(model, await model.createSession());
  const order: number[] = [];
  const priorities = [0, 5, -3, 5, 0.5, 1000, -1000];
  const turns = await Promise.all(
    priorities.map(async (priority, i) => {
      const session = await model.createSession(i % 2 === 0 ? { priority } : {});
      const reply = session.send('Hello', i % 2 === 0 ? SHORT : { ...SHORT, priority });
      return { done: reply.then(() => order.push(i)) };
    }),
  );
  turn.cancel();
  await within('all', Promise.all(turns.map(({ done }) => done)));
  expect(order).toEqual([5, 1, 3, 4, 0, 2, 6]);
});

test('what one session is asked for is done in order, whatever the priorities', async () => {
  const model = await loadRecall({ maxResident: 2 });
  const session = await model.createSession();
  const order: string[] = [];
  const done = (name: string) => (): void => void order.push(name);
  const work = [
    session.send('My name is Mosoba.', { ...greedy, priority: -5 }).then(done('told')),
    session.save().then(done('saved')),
    session.send('My name is Kabela.', { ...greedy, priority: 5 }).then(done('told again')),
    session.park().then(done('parked')),
    session.send('What is my name?', { ...greedy, priority: 1000 }).then((reply) => order.push(reply.text)),
  ];
  await within('all', Promise.all(work));
  expect(order).toEqual(['told', 'saved', 'told again', 'parked', 'Your name is Kabela.']);
  expect(session.messages).toHaveLength(6);
});

test('300 sessions on 4 sequences all get their own answers', async () => {
  const model = await loadRecall({ maxResident: 4, contextTokens: 2048 });
  const sessions = await Promise.all(Array.from({ length: 300 }, () => model.createSession()));
  const told = sessions.map((session, i) =>
    session.send(`My name is ${NAMES[i % 64] ?? ''}. My code is ${codeOf(i)}.`, { ...greedy, maxTokens: 8 }),
  );
  await within('300 turns', Promise.all(told), 40_000);
  const asked = sessions.map((session) => session.send('What is my name?', greedy));
  const replies: Reply[] = await within('300 more', Promise.all(asked), 40_000);
  const wrong = replies.filter((reply, i) => reply.text !== `Your name is ${NAMES[i % 64] ?? ''}.`);
  expect(wrong).toEqual([]);
  expect(model.stats()).toMatchObject({ openSessions: 300, turns: 600, failedTurns: 0, queuedTurns: 0 });
  expect(model.stats().residentSessions).toBeLessThanOrEqual(4);
  await within('close()', model.close());
});

test('long conversations that do not fit together wait for each other, and all end', async () => {
  const model = await loadRecall({ maxResident: 8, contextTokens: 2048 });
  const sessions = await Promise.all(Array.from({ length: 6 }, () => model.createSession()));
  const turns = sessions.map((session) => session.send('Tell me a story.', { ...LONG, maxTokens: 900 }));
  const replies = await within('all', Promise.all(turns), 40_000);
  expect(new Set(replies.map((reply) => reply.finishReason))).toEqual(new Set(['length']));
  expect(new Set(replies.map((reply) => reply.usage.generatedTokens))).toEqual(new Set([900]));
});
