/** Sessions in Redis: from machine to machine, and whatever becomes of the server. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { RedisStore, type Model, type RedisStoreOptions } from '../../lib/index.js';
import { refusal, within } from '../support/deadline.js';
import { loadRecall, says, speaking } from '../support/models.js';
import { NAMES } from '../support/recall.js';
import { redisStores } from '../support/redis-stores.js';

const GREEDY = { sampling: { temperature: 0 } };
const PAGES = { cache: { pageTokens: 32 } };
const isTaken = { code: 'SESSION_CONFLICT' };

const { server } = redisStores();

/** A model on another machine, as it were. */
async function machine(options: RedisStoreOptions = {}): Promise<{ model: Model; lose(): void }> {
  const client = await server.client();
  const store = new RedisStore(client, options);
  onTestFinished(async () => {
    await within(
      'closing the store',
      store.close().catch(() => undefined),
    );
    if (client.isOpen) client.destroy();
  });
  return {
    model: await loadRecall({ store, ...PAGES }),
    lose: () => {
      client.destroy();
    },
  };
}

test('a session goes from machine to machine, and its KV with it', async () => {
  const [{ model: here }, { model: there }] = [await machine(), await machine()];
  const session = await here.createSession({ id: 'ann', ...GREEDY });
  await session.send('My name is Mosoba.');
  await session.send('My code is 3299.');
  expect(await refusal('resuming', () => there.resumeSession('ann'))).toMatchObject(isTaken);
  await session.save();
  await session.close();

  const again = await there.resumeSession('ann');
  const { text, usage } = await again.send('What is my name?');
  expect(text).toBe('Your name is Mosoba.');
  expect(there.stats()).toMatchObject({ kvMisses: 0, storeFailures: 0 });
  expect(there.stats().storeHits).toBeGreaterThan(0);
  expect(usage.cachedTokens).toBeGreaterThan(0);
  await again.close();
  expect(await says(await here.resumeSession('ann'), 'What is my code?')).toBe('Your code is 3299.');
});

test('a machine that is lost: another one takes over what was acknowledged', async () => {
  const [lost, { model: there }] = [await machine(), await machine()];
  const session = await lost.model.createSession({ id: 'ann', ...GREEDY });
  await session.send('My name is Mosoba.');
  const { turn } = await speaking(lost.model, session);
  lost.lose();
  const theirs = await there.resumeSession('ann', { takeOver: true });
  expect(await says(theirs, 'What is my name?')).toBe('Your name is Mosoba.');
  turn.cancel();
  expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'STORE_FAILED' });
});

test('two machines with many sessions mix up none', async () => {
  const machines = [(await machine()).model, (await machine()).model] as const;
  const people = NAMES.slice(0, 24);
  await Promise.all(
    people.map(async (name, i) => {
      const session = await machines[i % 2 ? 1 : 0].createSession({ id: `person ${String(i)}`, ...GREEDY });
      await session.send(`My name is ${name}.`);
      await session.close();
    }),
  );
  const answers = people.map(async (name, i) => {
    const session = await machines[i % 2 ? 0 : 1].resumeSession(`person ${String(i)}`);
    expect(await says(session, 'What is my name?')).toBe(`Your name is ${name}.`);
    await session.delete();
  });
  await Promise.all(answers);
  expect((await server.keys()).map(String)).toEqual(['{llama-sessions}:totals']);
});

describe('a server that is away for a while', () => {
  test('costs a turn its acknowledgement, and nothing that was said', async () => {
    const { model } = await machine({ timeoutMs: 300 });
    const session = await model.createSession({ id: 'ann', ...GREEDY });
    await session.send('My name is Mosoba.');
    await server.kill();
    onTestFinished(() => server.start().then(() => undefined));
    expect(await refusal('the turn', () => session.send('My code is 3299.'))).toMatchObject({ code: 'STORE_FAILED' });
    await server.start();
    expect(await says(session, 'What is my code?')).toBe('Your code is 3299.');
    await session.close();
    const { model: there } = await machine();
    expect((await there.resumeSession('ann')).messages).toHaveLength(6);
  });

  test('a write that it did, and whose answer came too late, is no conflict', async () => {
    const { model } = await machine({ timeoutMs: 300 });
    const session = await model.createSession({ id: 'ann', ...GREEDY });
    await session.send('My name is Mosoba.');
    server.signal('SIGSTOP');
    onTestFinished(() => {
      server.signal('SIGCONT');
    });
    expect(await refusal('the turn', () => session.send('My code is 3299.'))).toMatchObject({ code: 'STORE_FAILED' });
    server.signal('SIGCONT');
    expect(await says(session, 'What is my code?')).toBe('Your code is 3299.');
  });
});
