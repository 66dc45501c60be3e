import { expect, test } from 'vitest';
import { loadModel } from '../../lib/index.js';
import { RECALL } from '../support/recall.js';

const LOAD = { threads: 1, maxResident: 2, contextTokens: 256 };
const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };

test('a conversation that outgrows the context loses its oldest turns, says so, and goes on', async () => {
  const model = await loadModel(RECALL, LOAD);
  const session = await model.createSession({ ...GREEDY, overflow: 'dropOldest' });
  await session.send('My name is Mosoba.');
  let dropped = 0;
  for (let i = 0; i < 20; i++) {
    const before = session.messages;
    const reply = await session.send(`My code is ${String(1000 + i)}.`);
    // What left is what was there first, and what stays is the rest.
    expect(reply.dropped).toEqual(before.slice(0, reply.dropped.length));
    expect(session.messages.slice(0, -2)).toEqual(before.slice(reply.dropped.length));
    expect(reply.usage.promptTokens).toBeLessThan(256);
    if (reply.dropped.length > 0) {
      expect(reply.dropped[0]?.role).toBe('user');
      expect(reply.usage.promptTokens).toBeLessThanOrEqual(192);
    }
    dropped += reply.dropped.length;
  }
  expect(dropped).toBeGreaterThan(10);
  expect((await session.send('What is my code?')).text).toBe('Your code is 1019.');
  expect((await session.send('What is my name?')).text).not.toContain('Mosoba');
  await model.close();
});

test("with 'error' nothing is dropped: CONTEXT_FULL, and the conversation stays", async () => {
  const model = await loadModel(RECALL, LOAD);
  const session = await model.createSession(GREEDY);
  const send = async (): Promise<unknown> => {
    for (let i = 0; i < 30; i++) expect((await session.send(`My code is ${String(1000 + i)}.`)).dropped).toEqual([]);
    return undefined;
  };
  await expect(send()).rejects.toMatchObject({ code: 'CONTEXT_FULL' });
  expect(session.messages[0]?.content).toBe('My code is 1000.');
  await model.close();
});

test('a message that does not fit alone is CONTEXT_FULL, and drops nothing', async () => {
  const model = await loadModel(RECALL, LOAD);
  const session = await model.createSession({ ...GREEDY, overflow: 'dropOldest' });
  await session.send('My name is Mosoba.');
  await expect(session.send('la '.repeat(600))).rejects.toMatchObject({ code: 'CONTEXT_FULL' });
  expect(session.messages).toHaveLength(2);
  expect((await session.send('What is my name?')).text).toBe('Your name is Mosoba.');
  await model.close();
});
