import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel, type Model, type Session } from '../../lib/index.js';
import { loadRecall } from '../support/models.js';
import { RECALL } from '../support/recall.js';
import { recallWithTemplate } from '../support/templates.js';

const GREEDY = { sampling: { temperature: 0 } };

let model: Model;
beforeAll(async () => {
  model = await loadModel(RECALL, { threads: 1, maxResident: 4, cache: { pageTokens: 16, restore: 'always' } });
});
afterAll(() => model.close());

async function told(): Promise<Session> {
  const session = await model.createSession({ ...GREEDY, metadata: { user: 'ann' } });
  await session.send('My name is Mosoba.');
  await session.send('My code is 3299.');
  return session;
}

/** Asks, and counts what had to be computed for it. */
async function ask(session: Session, question: string): Promise<{ text: string; prefilled: number }> {
  const { text, usage } = await session.send(question);
  return { text, prefilled: usage.promptTokens - usage.cachedTokens };
}

test('a fork knows what its parent knew, without prefill, and both go their own way', async () => {
  const parent = await told();
  const before = model.stats()['usedCells'];
  const child = await parent.fork();
  expect(model.stats()['usedCells']).toBe(before);
  expect(child.messages).toEqual(parent.messages);
  expect(child.metadata).toEqual({ user: 'ann' });
  expect(child.id).not.toBe(parent.id);

  const [fromChild, fromParent] = await Promise.all([
    child.send('My name is Dorin.'),
    parent.send('I live in Kabela.'),
  ]);
  for (const { usage } of [fromChild, fromParent]) expect(usage.promptTokens - usage.cachedTokens).toBeLessThan(20);
  expect(await ask(child, 'What is my name?')).toMatchObject({ text: 'Your name is Dorin.' });
  expect(await ask(parent, 'What is my name?')).toMatchObject({ text: 'Your name is Mosoba.' });
  expect((await ask(child, 'What is my code?')).text).toBe('Your code is 3299.');
  expect((await ask(parent, 'Where do I live?')).text).toBe('Your city is Kabela.');
  await Promise.all([parent.delete(), child.delete()]);
});

test('a fork of a parked session needs no prefill either, and outlives its parent', async () => {
  const parent = await told();
  await parent.park();
  const children = await Promise.all([parent.fork(), parent.fork(), parent.fork()]);
  await parent.delete();
  for (const child of children) {
    const { text, prefilled } = await ask(child, 'What is my name?');
    expect(text).toBe('Your name is Mosoba.');
    expect(prefilled).toBeLessThan(20 + 16); // and a rest that is not worth a page
    await child.delete();
  }
});

test('a fork of the beginning does not know what came later', async () => {
  const parent = await told();
  const child = await parent.fork({ id: 'earlier', atMessage: 2 });
  expect(child.id).toBe('earlier');
  expect(child.messages).toEqual(parent.messages.slice(0, 2));
  const name = await ask(child, 'What is my name?');
  expect(name.text).toBe('Your name is Mosoba.');
  expect(name.prefilled).toBeLessThan(20);
  expect((await ask(child, 'What is my code?')).text).not.toContain('3299');
  const empty = await parent.fork({ atMessage: 0 });
  expect(empty.messages).toEqual([]);
  expect((await ask(empty, 'What is my name?')).text).not.toContain('Mosoba');
  await expect(parent.fork({ id: 'earlier' })).rejects.toMatchObject({ code: 'SESSION_EXISTS' });
  await expect(parent.fork({ atMessage: 5 })).rejects.toBeInstanceOf(RangeError);
  await Promise.all([parent.delete(), child.delete(), empty.delete()]);
});

test('a session goes back to an earlier message, keeps its KV up to there, and forgets the rest', async () => {
  const session = await told();
  await session.rewind(2);
  expect(session.messages).toHaveLength(2);
  const { text, prefilled } = await ask(session, 'What is my code?');
  expect(text).not.toContain('3299');
  expect(prefilled).toBeLessThan(20);
  expect((await ask(session, 'What is my name?')).text).toBe('Your name is Mosoba.');
  await session.rewind(0);
  expect((await ask(session, 'What is my name?')).text).not.toContain('Mosoba');
  await expect(session.rewind(3)).rejects.toBeInstanceOf(RangeError);
  await session.delete();
});

test('a rewind while it is parked', async () => {
  const session = await told();
  await session.park();
  await session.rewind(2);
  const { text, prefilled } = await ask(session, 'What is my name?');
  expect(text).toBe('Your name is Mosoba.');
  expect(prefilled).toBeLessThan(40);
  expect((await ask(session, 'What is my code?')).text).not.toContain('3299');
  await session.delete();
});

test('a fork takes no id that is stored, which would be deleted with it', async () => {
  const old = await told();
  await old.close();
  const parent = await told();
  await expect(parent.fork({ id: old.id })).rejects.toMatchObject({ code: 'SESSION_EXISTS' });
  const again = await model.resumeSession(old.id);
  expect(again.messages).toHaveLength(4);
  await Promise.all([parent.delete(), again.delete()]);
});

test('fork and rewind wait for the turns before them, and turns after them for those', async () => {
  const session = await model.createSession(GREEDY);
  const said = session.send('My name is Mosoba.');
  const forked = session.fork();
  const more = session.send('My code is 3299.');
  const rewound = session.rewind(2);
  const asked = session.send('What is my code?');
  const child = await forked;
  expect(child.messages).toHaveLength(2);
  await Promise.all([said, more, rewound]);
  expect((await asked).text).not.toContain('3299');
  await session.close();
  await expect(session.fork()).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  await expect(session.rewind(0)).rejects.toMatchObject({ code: 'SESSION_CLOSED' });
  await child.delete();
});

test('a template that refuses what does not end with a user is no obstacle: only time is lost', async () => {
  const refuses = "{% if messages[-1].role != 'user' %}{{ raise_exception('No user query found.') }}{% endif %}";
  const strict = await loadRecall({}, await recallWithTemplate((own) => refuses + own));
  const session = await strict.createSession({ ...GREEDY, system: 'You are kind.' });
  await session.send('My name is Mosoba.');
  const fork = await session.fork({ atMessage: 0 });
  expect((await fork.send('What is my name?')).text).not.toContain('Mosoba');
  await session.rewind(0);
  expect((await session.send('What is my name?')).text).not.toContain('Mosoba');
});
