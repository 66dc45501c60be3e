import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, test } from 'vitest';
import { AbortError, LlamaError } from '../../lib/errors.js';
import type { Model } from '../../lib/model.js';
import { SessionPool, type SessionPoolOptions } from '../../lib/pool.js';
import type { Session } from '../../lib/session.js';
import type { SessionOptions } from '../../lib/types.js';
import { refusal, within } from '../support/deadline.js';
import { Gate } from '../support/gate.js';
import { tick } from '../support/turns.js';

/** Makes sessions that do nothing but count. */
class FakeModel {
  onClosed: (error: LlamaError) => void = () => undefined;
  readonly closed = new Promise<LlamaError>((resolve) => (this.onClosed = resolve));
  /** What each was made with. */
  readonly made: (SessionOptions | undefined)[] = [];
  readonly creations = new Gate();
  readonly deletions = new Gate();
  failure: Error | undefined;
  deletable = true;
  /** Ids of the sessions that exist, and how many did at most. */
  readonly sessions = new Set<string>();
  most = 0;

  async createSession(options?: SessionOptions): Promise<Session> {
    this.made.push(options);
    const id = `session ${this.made.length}`;
    await this.creations.pass();
    if (this.failure !== undefined) throw this.failure;
    this.sessions.add(id);
    this.most = Math.max(this.most, this.sessions.size);
    const remove = async (): Promise<void> => {
      await this.deleteSession(id);
    };
    return { id, delete: remove } as Partial<Session> as Session;
  }

  /** Whatever its state. */
  async deleteSession(id: string): Promise<boolean> {
    await this.deletions.pass();
    if (!this.deletable) throw new LlamaError('STORE_FAILED', 'The disk is full.');
    return this.sessions.delete(id);
  }
}

let model: FakeModel;
beforeEach(() => void (model = new FakeModel()));
const makePool = (options: Partial<SessionPoolOptions> = {}): SessionPool =>
  new SessionPool(model as unknown as Model, { size: 2, ...options });
/** Notes who gets one, in order. */
const noting = (pool: SessionPool, names: string[], got: string[]): Promise<Session>[] =>
  names.map(async (name) => {
    const session = await pool.acquire();
    got.push(name);
    return session;
  });

describe('acquire and release', () => {
  test('each gets a session of its own, made as the pool was told to', async () => {
    const session = { messages: [{ role: 'user' as const, content: 'hi' }], priority: 3 };
    const pool = makePool({ session });
    const [a, b] = [await pool.acquire(), await pool.acquire()];
    expect(a).not.toBe(b);
    expect(model.made).toEqual([session, session]);
    expect(pool.counts).toEqual({ out: 2, waiting: 0 });
  });

  test('at most size are out; who comes later waits, first come, first served', async () => {
    const pool = makePool();
    const [a, b] = [await pool.acquire(), await pool.acquire()];
    const got: string[] = [];
    const waiting = noting(pool, ['c', 'd', 'e'], got);
    await tick();
    expect([got, pool.counts, model.most]).toEqual([[], { out: 2, waiting: 3 }, 2]);
    await pool.release(b);
    await within('c', waiting[0]!);
    expect([got, pool.counts]).toEqual([['c'], { out: 2, waiting: 2 }]);
    await Promise.all([pool.release(a), pool.release(await waiting[0]!)]);
    await within('all', Promise.all(waiting));
    expect([got, model.most, pool.counts]).toEqual([['c', 'd', 'e'], 2, { out: 2, waiting: 0 }]);
  });

  test('nothing of what was said reaches the next: a session that comes back is deleted', async () => {
    const pool = makePool({ size: 1 });
    const a = await pool.acquire();
    await pool.release(a);
    expect([model.sessions.has(a.id), pool.counts, model.sessions.size]).toEqual([false, { out: 0, waiting: 0 }, 0]);
    expect(await pool.acquire()).not.toBe(a);
  });

  test('its place is free when it is gone, not before', async () => {
    const pool = makePool({ size: 1 });
    const a = await pool.acquire();
    model.deletions.close();
    const releasing = pool.release(a);
    const next = pool.acquire();
    await tick();
    expect([pool.counts, model.made.length]).toEqual([{ out: 0, waiting: 1 }, 1]);
    model.deletions.open();
    await releasing;
    await within('the next', next);
    expect(model.most).toBe(1);
  });

  test('no more are made than are asked for, whoever comes while they are', async () => {
    const pool = makePool({ size: 3 });
    model.creations.close();
    const two = [pool.acquire(), pool.acquire()];
    expect(model.made).toHaveLength(2);
    two.push(pool.acquire(), pool.acquire());
    expect(model.made).toHaveLength(3);
    model.creations.open();
    await within('three', Promise.all(two.slice(0, 3)));
    await tick();
    expect([model.made.length, pool.counts]).toEqual([3, { out: 3, waiting: 1 }]);
  });

  test('one that can not be deleted is reported, and its place is free all the same', async () => {
    const pool = makePool({ size: 1 });
    const a = await pool.acquire();
    const next = pool.acquire();
    model.deletable = false;
    expect(await refusal('the release', () => pool.release(a))).toMatchObject({ code: 'STORE_FAILED' });
    expect(await within('the next', next)).not.toBe(a);
  });

  test('what is not out can not come back: twice, of another pool, no session', async () => {
    const pool = makePool();
    const [a, foreign] = [await pool.acquire(), await makePool().acquire()];
    const [first, second] = [pool.release(a), refusal('twice', () => pool.release(a))];
    await first;
    const again = refusal('again', () => pool.release(a));
    const other = refusal('foreign', () => pool.release(foreign));
    const none = refusal('none', () => pool.release(undefined as unknown as Session));
    for (const error of await Promise.all([second, again, other, none])) {
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe('session must be one that this pool has given out, once');
    }
    expect([model.sessions.has(foreign.id), pool.counts.out]).toEqual([true, 0]);
  });

  test('a session that can not be made is the error of who waits longest; the others are tried again', async () => {
    const pool = makePool({ size: 1 });
    model.creations.close();
    const [first, second] = [refusal('the first', () => pool.acquire()), pool.acquire()];
    model.failure = new LlamaError('STORE_FAILED', 'The disk is full.');
    model.creations.step();
    expect(await first).toBe(model.failure);
    model.failure = undefined;
    model.creations.open();
    await within('the second', second);
    expect(pool.counts).toEqual({ out: 1, waiting: 0 });
  });
});

describe('waiting ends', () => {
  test('with TIMEOUT, and the place in the row is free', async () => {
    const pool = makePool({ size: 1 });
    const a = await pool.acquire();
    const error = await refusal('waiting', () => pool.acquire({ timeoutMs: 5 }));
    expect(error).toMatchObject({ code: 'TIMEOUT' });
    expect(error.message).toBe('No session of the pool was given back within 5 ms.');
    expect(pool.counts).toEqual({ out: 1, waiting: 0 });
    await pool.release(a);
    expect(model.made).toHaveLength(1);
  });

  test('when its signal is aborted, before or meanwhile', async () => {
    const pool = makePool({ size: 1 });
    const aborted = await refusal('aborted', () => pool.acquire({ signal: AbortSignal.abort('why') }));
    expect(aborted).toBeInstanceOf(AbortError);
    expect([aborted.cause, model.made.length]).toEqual(['why', 0]);
    const a = await pool.acquire();
    const controller = new AbortController();
    const waiting = refusal('waiting', () => pool.acquire({ signal: controller.signal }));
    const next = pool.acquire();
    controller.abort('changed my mind');
    expect(await waiting).toBeInstanceOf(AbortError);
    expect((await waiting).cause).toBe('changed my mind');
    await pool.release(a);
    await within('the next', next);
  });

  test('and leaves neither timer nor listener behind, whatever ended it', async () => {
    const pool = makePool({ size: 1 });
    let listeners = 0;
    const signal = {
      aborted: false,
      addEventListener: () => listeners++,
      removeEventListener: () => listeners--,
    } as unknown as AbortSignal;
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    await pool.acquire({ signal, timeoutMs: 2 ** 31 - 1 });
    expect([listeners, timers()]).toEqual([0, before]);
    const waiting = pool.acquire({ signal, timeoutMs: 2 ** 31 - 1 }).catch((error: unknown) => error);
    expect([listeners, timers()]).toEqual([1, before + 1]);
    await pool.close();
    expect(await waiting).toMatchObject({ code: 'SESSION_CLOSED' });
    expect([listeners, timers()]).toEqual([0, before]);
  });

  test('any number with one signal, of which Node does not warn', async () => {
    const pool = makePool({ size: 1 });
    await pool.acquire();
    const controller = new AbortController();
    const waiting = Array.from({ length: 20 }, () =>
      refusal('waiting', () => pool.acquire({ signal: controller.signal })),
    );
    expect(pool.counts).toEqual({ out: 1, waiting: 20 });
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    controller.abort();
    for (const error of await Promise.all(waiting)) expect(error).toBeInstanceOf(AbortError);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  test('a session that was made for who has left is deleted', async () => {
    const pool = makePool({ size: 1 });
    const controller = new AbortController();
    model.creations.close();
    const waiting = refusal('waiting', () => pool.acquire({ signal: controller.signal }));
    controller.abort();
    await waiting;
    model.creations.open();
    await tick();
    expect([model.made.length, model.sessions.size, pool.counts]).toEqual([1, 0, { out: 0, waiting: 0 }]);
    await within('the next', pool.acquire());
  });
});

describe('close', () => {
  test('refuses who waits and who comes; those that are out can still be given back', async () => {
    const pool = makePool({ size: 1 });
    const a = await pool.acquire();
    const waiting = refusal('waiting', () => pool.acquire());
    await pool.close();
    await pool.close();
    for (const error of [await waiting, await refusal('later', () => pool.acquire())]) {
      expect(error).toMatchObject({ code: 'SESSION_CLOSED', message: 'The pool is closed; make another one.' });
    }
    await pool.release(a);
    expect([model.sessions.size, model.made.length]).toEqual([0, 1]);
  });

  test('of the model refuses who waits and who comes, although all sessions are out', async () => {
    const pool = makePool({ size: 1 });
    await pool.acquire();
    const waiting = refusal('waiting', () => pool.acquire());
    model.onClosed(new LlamaError('MODEL_CLOSED', 'The model is closed.'));
    expect(await waiting).toMatchObject({ code: 'MODEL_CLOSED' });
    expect(await refusal('later', () => pool.acquire(), 1000)).toMatchObject({ code: 'MODEL_CLOSED' });
    await pool.close();
    expect(await refusal('after both', () => pool.acquire())).toMatchObject({ code: 'MODEL_CLOSED' });
    expect(pool.counts).toEqual({ out: 1, waiting: 0 });
  });

  test('a session that is being made then is deleted', async () => {
    const pool = makePool();
    model.creations.close();
    const waiting = refusal('waiting', () => pool.acquire());
    await pool[Symbol.asyncDispose]();
    model.creations.open();
    await waiting;
    await tick();
    expect(model.sessions.size).toBe(0);
  });
});

test.each<[unknown, typeof TypeError, string]>([
  [undefined, TypeError, 'options must be an object, got undefined'],
  [{}, TypeError, 'options.size must be an integer from 1 to 65536, got undefined'],
  [{ size: 0 }, RangeError, 'size must be an integer from 1 to 65536, got 0'],
  [{ size: '1' }, TypeError, "size must be an integer from 1 to 65536, got '1'"],
  [{ size: 1, sise: 1 }, TypeError, "options has no option 'sise'; did you mean 'size'?"],
  [{ size: 1, session: { topK: 1 } }, TypeError, "session has no option 'topK'"],
  [{ size: 1, session: { id: 'x' } }, TypeError, 'session.id must be left out, got'],
])('a pool of %j is refused', (options, kind, sentence) => {
  expect(() => new SessionPool(model as unknown as Model, options as SessionPoolOptions)).toThrow(kind);
  expect(() => new SessionPool(model as unknown as Model, options as SessionPoolOptions)).toThrow(sentence);
});

test.each([undefined, null, {}, 'model.gguf'])('a pool of the model %j is refused', (none) => {
  expect(() => new SessionPool(none as never, { size: 1 })).toThrow(TypeError);
  expect(() => new SessionPool(none as never, { size: 1 })).toThrow('model must be a Model, got ');
});

test.each<[object, typeof TypeError]>([
  [{ timeoutMs: 0 }, RangeError],
  [{ timeoutMs: 2 ** 31 }, RangeError],
  [{ signal: {} }, TypeError],
  [{ timeout: 5 }, TypeError],
])('acquire(%j) is refused', async (options, kind) => {
  expect(await refusal('acquire', () => makePool().acquire(options))).toBeInstanceOf(kind);
  expect(model.made).toEqual([]);
});
