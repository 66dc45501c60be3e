/** SessionPool over a model that remembers what it was told. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AbortError, SessionPool, type Model, type Session, type SessionPoolOptions } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { folder, loadRecall, LONG, speaking } from '../support/models.js';
import { NAMES } from '../support/recall.js';

const sampling = { temperature: 0 };
/** Some pages long, so that it can be shared. */
const system = 'la shai brot '.repeat(20);

const makePool = (model: Model, size: number, session: SessionPoolOptions['session'] = {}): SessionPool =>
  new SessionPool(model, { size, session: { sampling, ...session } });

async function idsOf(model: Model): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of model.listSessions()) ids.push(id);
  return ids;
}

test('forty borrowers of four sessions: each knows what it said itself, and nothing else', async () => {
  const store = await folder();
  const model = await loadRecall({ store, maxResident: 3, cache: { restore: 'always' } });
  const pool = makePool(model, 4);
  let [out, most] = [0, 0];
  const borrow = async (name: string): Promise<string[]> => {
    const session = await pool.acquire();
    most = Math.max(most, ++out);
    expect(model.stats().openSessions).toBeLessThanOrEqual(4);
    const texts: string[] = [];
    for (const message of ['What is my name?', `My name is ${name}.`, 'What is my name?']) {
      texts.push((await session.send(message)).text);
      // So that KV of all of them is in RAM and on the disk before the next one asks.
      await session.save();
      await session.park();
    }
    expect(session.messages).toHaveLength(6);
    out--;
    await pool.release(session);
    expect(session.state).toBe('closed');
    return texts;
  };
  const names = NAMES.slice(0, 40);
  const said = await within('all', Promise.all(names.map(borrow)), 30_000);
  for (const [i, name] of names.entries()) {
    expect(said[i]).toEqual([
      'You have not told me your name.',
      `Noted: your name is ${name}.`,
      `Your name is ${name}.`,
    ]);
  }
  expect([most, pool.counts]).toEqual([4, { out: 0, waiting: 0 }]);
  expect(model.stats()).toMatchObject({ openSessions: 0, residentSessions: 0, storedPages: 0 });
  expect(await idsOf(model)).toEqual([]);
  await model.close();
  expect((await readdir(join(store, 'pages'), { recursive: true })).filter((name) => name.length > 10)).toEqual([]);
});

test('what all begin with is computed once, as long as one of them is out', async () => {
  const model = await loadRecall({ cache: { pageTokens: 16, restore: 'always' } });
  const pool = makePool(model, 2, { system });
  const common = model.tokenize(system).length;
  const first = await pool.acquire();
  expect((await first.send('My name is Mosoba.')).usage.cachedTokens).toBe(0);
  for (const name of ['Kelin', 'Vodai']) {
    const session = await pool.acquire();
    expect((await session.send(`My name is ${name}.`)).usage.cachedTokens).toBeGreaterThanOrEqual(common);
    expect((await session.send('What is my name?')).text).toContain(name);
    await pool.release(session);
  }
  expect((await first.send('What is my name?')).text).toContain('Mosoba');
});

test('who waits too long gets TIMEOUT, who is aborted an AbortError; those behind them are served', async () => {
  const model = await loadRecall();
  const pool = makePool(model, 1);
  const session = await pool.acquire();
  const { turn } = await speaking(model, session);
  const late = refusal('late', () => pool.acquire({ timeoutMs: 20 }));
  const caller = new AbortController();
  const aborted = refusal('aborted', () => pool.acquire({ signal: caller.signal }));
  const patient = pool.acquire({ timeoutMs: 60_000, signal: new AbortController().signal });
  expect(await late).toMatchObject({ code: 'TIMEOUT' });
  caller.abort(new Error('gone'));
  expect(await aborted).toBeInstanceOf(AbortError);
  expect((await aborted).cause).toMatchObject({ message: 'gone' });
  expect(pool.counts).toEqual({ out: 1, waiting: 1 });
  turn.cancel();
  await turn;
  await pool.release(session);
  const next = await within('the next', patient);
  expect(next.messages).toEqual([]);
  expect(next.id).not.toBe(session.id);
});

test('given back in the middle of a turn: the turn is ended, the next one gets another session', async () => {
  const model = await loadRecall({ maxResident: 1 });
  const pool = makePool(model, 1);
  const session = await pool.acquire();
  const { turn } = await speaking(model, session);
  const queued = session.send('Hello');
  const next = pool.acquire();
  await within('release()', pool.release(session));
  for (const each of [turn, queued]) {
    expect(await refusal('a turn', () => each)).toMatchObject({ code: 'SESSION_CLOSED' });
  }
  expect((await (await within('the next', next)).send('What is my name?')).text).toBe(
    'You have not told me your name.',
  );
});

test('one that was closed or deleted by who had it can be given back all the same', async () => {
  const model = await loadRecall();
  const pool = makePool(model, 1);
  for (const end of [(session: Session) => session.close(), (session: Session) => session.delete()]) {
    const session = await pool.acquire();
    await session.send('My name is Mosoba.');
    await end(session);
    await pool.release(session);
    expect(await refusal('resumeSession()', () => model.resumeSession(session.id))).toMatchObject({
      code: 'SESSION_NOT_FOUND',
    });
  }
  expect(pool.counts).toEqual({ out: 0, waiting: 0 });
});

test('close(): who waits is refused; who has one goes on and gives it back', async () => {
  const model = await loadRecall();
  const pool = makePool(model, 2);
  const [one, two] = [await pool.acquire(), await pool.acquire()];
  const turn = one.send('Count from 3 to 9.');
  const waiting = [1, 2, 3].map((i) => refusal(`waiter ${String(i)}`, () => pool.acquire()));
  await within('close()', pool.close());
  for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'SESSION_CLOSED' });
  expect(await refusal('acquire()', () => pool.acquire())).toMatchObject({ code: 'SESSION_CLOSED' });
  expect((await turn).text).toBe('3 4 5 6 7 8 9');
  await Promise.all([pool.release(one), pool.release(two)]);
  expect([pool.counts, model.stats().openSessions]).toEqual([{ out: 0, waiting: 0 }, 0]);
});

test('the model is closed while some wait: they are told when those before them give back', async () => {
  const model = await loadRecall();
  const pool = makePool(model, 1);
  const session = await pool.acquire();
  const turn = session.send('Tell me a story.', LONG);
  const waiting = [1, 2].map((i) => refusal(`waiter ${String(i)}`, () => pool.acquire()));
  await until('the story', () => session.state === 'running');
  await within('close()', model.close());
  expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'MODEL_CLOSED' });
  expect(await refusal('release()', () => pool.release(session))).toMatchObject({ code: 'MODEL_CLOSED' });
  for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'MODEL_CLOSED' });
  expect(await refusal('acquire()', () => pool.acquire())).toMatchObject({ code: 'MODEL_CLOSED' });
});
