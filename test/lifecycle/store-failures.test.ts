/** A store that fails: the turn says STORE_FAILED, the conversation goes on in memory, and nothing hangs or is lost when it works again. */
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { LlamaError, MemoryStore } from '../../lib/index.js';
import type { LoadOptions, Model, SessionStore } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { loadRecall, promptOf, SHORT } from '../support/models.js';

const greedy = { sampling: { temperature: 0 } };
const broken = new Error('the disk is on fire');

type Way = 'rejects' | 'throws at once' | 'rejects with a text' | 'answers late';

/** A store whose methods fail in this way while `failing` names them. */
class Fragile extends MemoryStore {
  failing: (keyof SessionStore)[] = [];
  way: Way = 'rejects';

  override getRecord(...args: Parameters<MemoryStore['getRecord']>): ReturnType<MemoryStore['getRecord']> {
    return this.#maybe('getRecord', () => super.getRecord(...args));
  }
  override putRecord(...args: Parameters<MemoryStore['putRecord']>): ReturnType<MemoryStore['putRecord']> {
    return this.#maybe('putRecord', () => super.putRecord(...args));
  }
  override deleteRecord(...args: Parameters<MemoryStore['deleteRecord']>): ReturnType<MemoryStore['deleteRecord']> {
    return this.#maybe('deleteRecord', () => super.deleteRecord(...args));
  }
  override listRecords(...args: Parameters<MemoryStore['listRecords']>): ReturnType<MemoryStore['listRecords']> {
    if (!this.failing.includes('listRecords')) return super.listRecords(...args);
    if (this.way === 'throws at once') throw broken;
    // eslint-disable-next-line @typescript-eslint/require-await -- it fails before it yields
    return (async function* () {
      throw broken;
    })();
  }
  override getPage(...args: Parameters<MemoryStore['getPage']>): ReturnType<MemoryStore['getPage']> {
    return this.#maybe('getPage', () => super.getPage(...args));
  }
  override putPage(...args: Parameters<MemoryStore['putPage']>): ReturnType<MemoryStore['putPage']> {
    return this.#maybe('putPage', () => super.putPage(...args));
  }
  override deletePage(...args: Parameters<MemoryStore['deletePage']>): ReturnType<MemoryStore['deletePage']> {
    return this.#maybe('deletePage', () => super.deletePage(...args));
  }

  #maybe<T>(method: keyof SessionStore, work: () => Promise<T>): Promise<T> {
    if (!this.failing.includes(method)) return work();
    if (this.way === 'throws at once') throw broken;
    if (this.way === 'answers late') return pause(150).then(work);
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a bad store does that
    return Promise.reject(this.way === 'rejects with a text' ? 'on fire' : broken);
  }
}

async function storeFailed(what: string, call: () => unknown, cause: unknown = broken): Promise<void> {
  const error = await refusal(what, call);
  expect(error, `${what}: ${String(error.stack)}`).toBeInstanceOf(LlamaError);
  expect(error).toMatchObject({ code: 'STORE_FAILED' });
  expect(error.cause).toBe(cause);
}

async function fragile(way: Way, options?: LoadOptions): Promise<{ store: Fragile; model: Model }> {
  const store = new Fragile();
  store.way = way;
  return { store, model: await loadRecall({ ...options, store }) };
}

describe.each(['rejects', 'throws at once', 'rejects with a text'] as const)('a store that %s', (way) => {
  const cause = way === 'rejects with a text' ? 'on fire' : broken;

  test('when a turn is written: the conversation goes on in memory, and is stored as soon as it can be', async () => {
    const { store, model } = await fragile(way);
    const session = await model.createSession({ id: 'one' });
    const told: Error[] = [];
    session.on('error', (error) => told.push(error));
    store.failing = ['putRecord'];
    await storeFailed('the turn', () => session.send('My name is Mosoba.', greedy), cause);
    expect(told).toMatchObject([{ code: 'STORE_FAILED' }]);
    expect(session.state).toBe('idle');
    expect(session.messages).toHaveLength(2);
    await storeFailed('save()', () => session.save(), cause);
    store.failing = [];
    const reply = await within('the next turn', session.send('What is my name?', greedy));
    expect(reply.text).toBe('Your name is Mosoba.');
    await session.close();
    expect((await model.resumeSession('one')).messages).toHaveLength(4);
  });

  test('in every other call', async () => {
    const { store, model } = await fragile(way);
    const session = await model.createSession({ id: 'one' });
    await within('a turn', session.send('My name is Mosoba.', SHORT));
    await session.save();
    await session.close();
    store.failing = ['getRecord', 'putRecord', 'deleteRecord', 'listRecords'];
    await storeFailed('createSession()', () => model.createSession({ id: 'two' }), cause);
    await storeFailed('resumeSession()', () => model.resumeSession('one'), cause);
    await storeFailed('deleteSession()', () => model.deleteSession('one'), cause);
    const list = async (): Promise<void> => {
      for await (const info of model.listSessions()) expect(info).toBeUndefined();
    };
    await storeFailed('listSessions()', list);
    const free = await model.createSession();
    await storeFailed('close()', () => free.close(), cause);
    expect(free.state).toBe('closed');
    const doomed = await model.createSession();
    await storeFailed('delete()', () => doomed.delete(), cause);
    expect(model.stats().openSessions).toBe(0);
    store.failing = [];
    expect((await model.resumeSession('one')).messages).toHaveLength(2);
  });

  test('when pages are written: save() fails, turns do not', async () => {
    const { store, model } = await fragile(way);
    const session = await model.createSession();
    store.failing = ['putPage', 'deletePage'];
    await within('a turn', session.send('My name is Mosoba.', greedy));
    await storeFailed('save()', () => session.save(), cause);
    expect((await within('a turn', session.send('What is my name?', greedy))).text).toBe('Your name is Mosoba.');
  });

  test('when pages are read: it is a cache miss', async () => {
    // Without RAM, or the page would still be there.
    const { store, model } = await fragile(way, { cache: { ramBytes: 0, restore: 'always' } });
    const session = await model.createSession({ id: 'one' });
    await within('a turn', session.send('My name is Mosoba.', greedy));
    await session.save();
    await session.close();
    const again = await model.resumeSession('one');
    expect(again.residency).toBe('store');
    store.failing = ['getPage'];
    const reply = await within('the turn', again.send('What is my name?', greedy));
    expect(reply).toMatchObject({ text: 'Your name is Mosoba.', usage: { cachedTokens: 0 } });
    expect(model.stats()).toMatchObject({ kvMisses: 1, storeFailures: 1, storeRestores: 0 });
  });

  test('when the model closes: close() says so, after everything has ended', async () => {
    const { store, model } = await fragile(way);
    const sessions = await Promise.all([1, 2, 3].map(() => model.createSession()));
    store.failing = ['putRecord'];
    await storeFailed('close()', () => model.close(), cause);
    for (const session of sessions) expect(session.state).toBe('closed');
    expect(await refusal('tokenize()', () => model.tokenize('text'))).toMatchObject({ code: 'MODEL_CLOSED' });
  });
});

describe('a store that answers late', () => {
  test('the turn waits for it; pieces and other sessions do not', async () => {
    const { store, model } = await fragile('answers late');
    store.failing = ['putRecord'];
    const [slow, other] = [await model.createSession(), await model.createSession()];
    let told = 0;
    const turn = slow.send('Count from 3 to 9.', greedy);
    void (async () => {
      for await (const piece of turn) told += piece.text.length;
    })();
    await until('all pieces', () => told === '3 4 5 6 7 8 9'.length);
    await until('its end, a step later', () => slow.messages.length > 0);
    expect(slow.state).toBe('running');
    expect(slow.messages).toHaveLength(2);
    const reply = other.send('Count from 3 to 9.', greedy);
    expect((await within('both', Promise.all([turn, reply]))).map(({ text }) => text)).toEqual([
      '3 4 5 6 7 8 9',
      '3 4 5 6 7 8 9',
    ]);
  });

  test('close() waits for it', async () => {
    const { store, model } = await fragile('answers late');
    store.failing = ['putRecord'];
    const session = await model.createSession({ id: 'one' });
    const turn = session.send('Count from 3 to 9.', greedy);
    await until('the turn is being written', () => session.messages.length === 2);
    await within('close()', model.close());
    expect((await turn).text).toBe('3 4 5 6 7 8 9');
    store.failing = [];
    expect(await store.getRecord('one')).toMatchObject({ version: 1 });
  });

  test('an abort while it writes ends the turn, and the reply stays', async () => {
    const { store, model } = await fragile('answers late');
    store.failing = ['putRecord'];
    const session = await model.createSession();
    const controller = new AbortController();
    const turn = session.send('Count from 3 to 9.', { ...greedy, signal: controller.signal });
    await until('the turn is being written', () => session.messages.length === 2);
    controller.abort();
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'ABORTED', partial: '3 4 5 6 7 8 9' });
    expect(session.messages[1]).toEqual({ role: 'assistant', content: '3 4 5 6 7 8 9' });
  });
});

test('a store without pages', async () => {
  const memory = new MemoryStore();
  const store: SessionStore = {
    getRecord: (id) => memory.getRecord(id),
    putRecord: (id, bytes, options) => memory.putRecord(id, bytes, options),
    deleteRecord: (id, options) => memory.deleteRecord(id, options),
    listRecords: (filter) => memory.listRecords(filter),
  };
  const model = await loadRecall({ store });
  const session = await model.createSession({ id: 'one' });
  await within('a turn', session.send('My name is Mosoba.', greedy));
  await within('save()', session.save());
  await session.close();
  const again = await model.resumeSession('one');
  expect(again.residency).toBe('none');
  const reply = await within('the turn', again.send('What is my name?', greedy));
  expect(reply).toMatchObject({ text: 'Your name is Mosoba.', usage: { cachedTokens: 0 } });
  await within('delete()', again.delete());
  expect(await memory.getRecord('one')).toBeUndefined();
});

test('another process wrote the session meanwhile: SESSION_CONFLICT, and its word stays the last', async () => {
  const store = new MemoryStore();
  const model = await loadRecall({ store });
  const session = await model.createSession({ id: 'one' });
  await within('a turn', session.send('My name is Mosoba.', SHORT));
  const theirs = new Uint8Array([1, 2, 3]);
  await store.putRecord('one', theirs, { expected: 1 });
  expect(await refusal('the turn', () => session.send('Hello', SHORT))).toMatchObject({ code: 'SESSION_CONFLICT' });
  await within('close()', session.close());
  expect(session.state).toBe('closed');
  expect((await store.getRecord('one'))?.bytes).toEqual(theirs);
  expect(await refusal('resumeSession()', () => model.resumeSession('one'))).toMatchObject({
    code: 'SNAPSHOT_CORRUPT',
  });
});

describe('listeners that throw', () => {
  const mine = new Error('mine');
  const fail = (): never => {
    throw mine;
  };

  test('disturb neither the turn nor each other: Node prints a warning', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue();
    const model = await loadRecall();
    const session = await model.createSession();
    const heard: string[] = [];
    for (const event of ['state', 'turn', 'parked', 'error'] as const) {
      session.on(event, fail);
      session.on(event, () => heard.push(event));
    }
    expect((await within('the turn', session.send('Count from 3 to 9.', greedy))).text).toBe('3 4 5 6 7 8 9');
    await session.park();
    await refusal('a turn', () => session.complete(promptOf(2048)));
    expect(new Set(heard)).toEqual(new Set(['state', 'turn', 'parked', 'error']));
    expect(warn).toHaveBeenCalledTimes(heard.length);
    for (const [said] of warn.mock.calls) expect(said).toMatch(/^Error: mine\n +at /);
    warn.mockRestore();
  });

  test('onProgress that throws does not end the load', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue();
    const model = await loadRecall({ onProgress: fail });
    expect((await (await model.createSession()).send('Count from 3 to 9.', greedy)).text).toBe('3 4 5 6 7 8 9');
    expect(warn).toHaveBeenCalledWith(expect.stringMatching(/^Error: mine\n +at /));
    warn.mockRestore();
  });
});
