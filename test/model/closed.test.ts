/** Every method after close() and delete(): the documented error, at once. */
import { describe, expect, test } from 'vitest';
import { MemoryStore } from '../../lib/index.js';
import type { Model, Session } from '../../lib/index.js';
import { refusal, within } from '../support/deadline.js';
import { loadRecall, LONG, SHORT, speaking } from '../support/models.js';

/** Array.fromAsync(), which Node 20 lacks. */
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

type Calls<T> = Record<string, (it: T) => unknown>;

/** What is refused, by method. A compiler error here means that a method has come or gone. */
const modelRefuses: Calls<Model> = {
  createSession: (model) => model.createSession(),
  createSessionWithId: (model) => model.createSession({ id: 'new' }),
  resumeSession: (model) => model.resumeSession('kept'),
  listSessions: (model) => all(model.listSessions()),
  deleteSession: (model) => model.deleteSession('kept'),
  importSession: (model) => model.importSession('/nowhere'),
  tokenize: (model) => model.tokenize('text'),
  detokenize: (model) => model.detokenize([300]),
};
const sessionRefuses: Calls<Session> = {
  send: (session) => session.send('Hello'),
  sendList: (session) => session.send([{ role: 'user', content: 'Hello' }]),
  complete: (session) => session.complete('Once'),
  completeTokens: (session) => session.complete([300, 301]),
  save: (session) => session.save(),
  export: (session) => session.export('/nowhere/at/all'),
  park: (session) => session.park(),
  delete: (session) => session.delete(),
};

async function refusesAll<T>(calls: Calls<T>, it: T, code: string): Promise<void> {
  for (const [name, call] of Object.entries(calls)) {
    expect(await refusal(name, () => call(it)), name).toMatchObject({ name: 'LlamaError', code });
  }
}

/** What still answers on a session that is closed. */
async function isClosed(session: Session): Promise<void> {
  expect(session.state).toBe('closed');
  expect(session.residency).toBe('none');
  expect(session.id).toBeTypeOf('string');
  expect(session.messages).toBeInstanceOf(Array);
  expect(session.metadata).toEqual({});
  session.cancel();
  session.on('turn', () => undefined)();
  await within('close() again', session.close());
  await within('dispose', session[Symbol.asyncDispose]());
}

describe('after close()', () => {
  test('a model', async () => {
    const model = await loadRecall();
    const session = await model.createSession({ id: 'kept' });
    await within('a turn', session.send('Hello', SHORT));
    await within('close()', model.close());
    await refusesAll(modelRefuses, model, 'MODEL_CLOSED');
    expect(model.getSession('kept')).toBeUndefined();
    expect(model.stats()).toMatchObject({ openSessions: 0, queuedTurns: 0, turns: 1 });
    expect(model.info.architecture).toBe('llama');
    await within('close() again', model.close());
    await within('dispose', model[Symbol.asyncDispose]());

    await refusesAll(sessionRefuses, session, 'MODEL_CLOSED');
    await isClosed(session);
  });

  test('a session', async () => {
    const model = await loadRecall();
    const session = await model.createSession();
    await within('a turn', session.send('Hello', SHORT));
    await within('close()', session.close());
    await refusesAll(sessionRefuses, session, 'SESSION_CLOSED');
    await isClosed(session);
    expect(model.stats()).toMatchObject({ openSessions: 0, residentSessions: 0, ramKvBytes: 0 });
  });

  test('a session after delete()', async () => {
    const model = await loadRecall();
    const session = await model.createSession({ id: 'gone' });
    await within('a turn', session.send('Hello', SHORT));
    await within('delete()', session.delete());
    await refusesAll(sessionRefuses, session, 'SESSION_CLOSED');
    await isClosed(session);
    expect(await refusal('resume', () => model.resumeSession('gone'))).toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await model.deleteSession('gone')).toBe(false);
    // The id is free again.
    await (await model.createSession({ id: 'gone' })).close();
  });

  test('a session that deleteSession() of its model deleted', async () => {
    const model = await loadRecall();
    const session = await model.createSession({ id: 'gone' });
    const turn = session.send('Tell me a story.', LONG);
    expect(await within('deleteSession()', model.deleteSession('gone'))).toBe(true);
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'SESSION_CLOSED' });
    await refusesAll(sessionRefuses, session, 'SESSION_CLOSED');
    expect(await all(model.listSessions())).toEqual([]);
  });

  test('using', async () => {
    const store = new MemoryStore();
    let outside: Session;
    {
      await using model = await loadRecall({ store });
      await using session = await model.createSession({ id: 'used' });
      await within('a turn', session.send('Hello', SHORT));
      outside = session;
    }
    expect(outside.state).toBe('closed');
    expect(await store.getRecord('used')).toBeDefined();
  });
});

describe('close() twice at once', () => {
  test('of a model with a turn', async () => {
    const model = await loadRecall();
    const session = await model.createSession();
    const { turn } = await speaking(model, session);
    const closing = Promise.all([model.close(), model.close(), session.close(), model[Symbol.asyncDispose]()]);
    await within('all of them', closing);
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'MODEL_CLOSED' });
    await isClosed(session);
  });

  test('of a session with a turn; of the session, then of its model', async () => {
    const store = new MemoryStore();
    const model = await loadRecall({ store });
    const session = await model.createSession({
      id: 'twice',
      messages: [
        { role: 'user', content: 'My name is Mosoba.' },
        { role: 'assistant', content: 'Noted.' },
      ],
    });
    const { turn } = await speaking(model, session);
    await within('all of them', Promise.all([session.close(), session.close(), model.close()]));
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'SESSION_CLOSED' });
    await isClosed(session);
    expect((await store.getRecord('twice'))?.version).toBeGreaterThan(0);
  });

  test('a session that never spoke is stored though its model closes while it does', async () => {
    const store = new MemoryStore();
    const model = await loadRecall({ store });
    const session = await model.createSession({ id: 'silent', system: 'You are a terse assistant.' });
    const turn = session.send('Hello', SHORT);
    await within('both', Promise.all([session.close(), model.close()]));
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'SESSION_CLOSED' });
    expect(await store.getRecord('silent')).toBeDefined();
  });

  test('delete() and delete()', async () => {
    const model = await loadRecall();
    const session = await model.createSession();
    const first = session.delete();
    expect(await refusal('the second', () => session.delete())).toMatchObject({ code: 'SESSION_CLOSED' });
    await within('the first', first);
  });
});
