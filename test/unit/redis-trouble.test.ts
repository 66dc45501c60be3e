/** RedisStore where the server, the connection or another process fails. */
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { LossyProxy } from '../support/redis-proxy.js';
import { redisStores } from '../support/redis-stores.js';
import { all, expectCode, name, plain, random, same, text } from '../suites/store-values.js';

const MB = 2 ** 20;
/** Several pieces, the last one smaller. */
const LARGE = new Uint8Array(randomBytes(9 * MB));

const { server, ends, open } = redisStores();

async function says(promise: Promise<unknown>, message: RegExp): Promise<void> {
  await expectCode(promise, 'STORE_FAILED');
  await expect(promise).rejects.toThrow(message);
}

describe('nothing is left behind', () => {
  test('when all is deleted: the figures, which count versions on', async () => {
    const store = await open({ pageBytes: 2 * MB });
    for (const id of ['a', 'b', 'c']) {
      await store.claim(id, false);
      await name(store, id, `page of ${id}`, 'common');
      await store.putPage(`page of ${id}`, LARGE.subarray(0, MB));
      await store.putRecord(id, text('again'), { expected: 1, expiresAt: 5, pages: ['common', `page of ${id}`] });
      await store.release(id);
    }
    await store.putPage('common', random(5));
    expect(store.stats()).toMatchObject({ storedPages: 2, storedPageBytes: MB + 5, pageEvictions: 2 });
    for (const { id } of await all(store)) await store.deleteRecord(id);
    expect(store.stats()).toMatchObject({ storedPages: 0, storedPageBytes: 0, pageEvictions: 2 });
    expect((await server.keys()).map(String)).toEqual(['{llama-sessions}:totals']);
  });

  test('a page whose writer ended in the middle of it lapses', async () => {
    const store = await open();
    await name(store, 'a', 'p');
    const write = store.putPage('p', randomBytes(64 * MB));
    await vi.waitUntil(async () => (await server.keys(':writing:')).length > 0, { interval: 1 });
    for (const end of ends.splice(0, 1)) end(); // the connection
    await expectCode(write, 'STORE_FAILED');
    const [left = ''] = await server.keys(':writing:');
    expect(await server.command('PTTL', left)).toBeGreaterThan(0);
    expect(await (await open()).getPage('p')).toBeUndefined();
  });

  test('one of which a piece has lapsed is not stored', async () => {
    const store = await open();
    await name(store, 'a', 'p');
    const write = store.putPage('p', randomBytes(64 * MB));
    await vi.waitUntil(async () => (await server.keys(':writing:')).length > 0, { interval: 1 });
    for (const key of await server.keys(':writing:')) await server.command('DEL', key);
    await says(write, /too slow/);
    expect(await store.getPage('p')).toBeUndefined();
  });

  test('one that is stored stays', async () => {
    const store = await open();
    await name(store, 'a', 'p');
    await store.putPage('p', LARGE);
    const pages = await server.keys(':page:');
    expect(pages).toHaveLength(1);
    expect(await server.command('PTTL', pages[0] ?? '')).toBe(-1);
    expect(same(await store.getPage('p'), LARGE)).toBe(true);
  });
});

describe('pages', () => {
  test('what was read is not the next to go', async () => {
    const store = await open({ pageBytes: 2000 });
    await name(store, 'a', '1', '2', '3');
    await store.putPage('1', random(1000));
    await store.putPage('2', random(1000));
    await store.getPage('1');
    await store.putPage('3', random(1000));
    expect(await store.getPage('2')).toBeUndefined();
    expect(await store.getPage('1')).toBeDefined();
  });

  test('what the server dropped by itself is a miss, and can be written again', async () => {
    const store = await open();
    await name(store, 'a', 'p');
    await store.putPage('p', random(1000));
    for (const key of await server.keys(':page:')) await server.command('DEL', key);
    expect(await store.getPage('p')).toBeUndefined();
    expect(await store.putPage('p', random(1000))).toBe(true);
    expect(await store.getPage('p')).toBeDefined();
    expect(store.stats()).toMatchObject({ storedPages: 1, storedPageBytes: 1000 });
  });

  test('a page that two write at once is there once, one that nobody names meanwhile not at all', async () => {
    const [one, other] = [await open(), await open()];
    await name(one, 'a', 'p', 'q');
    expect(await Promise.all([one.putPage('p', LARGE), other.putPage('p', LARGE)])).toEqual([true, true]);
    const [stored] = await Promise.all([one.putPage('q', LARGE), pause(1).then(() => other.deleteRecord('a'))]);
    expect(stored).toBe(false);
    expect((await server.keys()).map(String)).toEqual(['{llama-sessions}:totals']);
    await name(one, 'a');
    expect(one.stats()).toMatchObject({ storedPages: 0, storedPageBytes: 0 });
  });
});

describe('an answer that is lost with its connection', () => {
  let proxy: LossyProxy;
  beforeEach(async () => {
    proxy = await LossyProxy.open(server.path);
    ends.push(() => {
      proxy.close();
    });
  });

  test('a write happens once', async () => {
    const store = await open({}, proxy.path);
    expect(await store.putRecord('a', text('one'), { expected: 0 })).toBe(1);
    proxy.answersToLose = 1;
    expect(await store.putRecord('a', text('two'), { expected: 1 })).toBe(2);
    expect(proxy.answersToLose).toBe(0);
    expect(plain(await store.getRecord('a'))).toEqual({ version: 2, bytes: 'two' });
  });

  test('a page arrives whole', async () => {
    const store = await open({}, proxy.path);
    await name(store, 'a', 'p');
    const write = store.putPage('p', LARGE);
    for (let i = 0; i < 5; i++) {
      await pause(5);
      proxy.answersToLose = 1;
    }
    const stored = await write.catch(() => false);
    proxy.answersToLose = 0;
    expect(same(await store.getPage('p'), LARGE)).toBe(stored);
    expect(await store.putPage('p', LARGE)).toBe(true);
    expect(same(await store.getPage('p'), LARGE)).toBe(true);
  });
});

describe('a server', () => {
  test('that does not answer: STORE_FAILED in time, and it goes on afterwards', async () => {
    const store = await open({ timeoutMs: 200 });
    await store.putRecord('a', text('one'), { expected: 0 });
    server.signal('SIGSTOP');
    onTestFinished(() => {
      server.signal('SIGCONT');
    });
    await says(store.putRecord('a', text('two'), { expected: 1 }), /did not answer within 200 ms/);
    await expectCode(store.getRecord('a'), 'STORE_FAILED');
    server.signal('SIGCONT');
    // It had received the write, and has done it.
    await vi.waitUntil(async () => (await (await open()).getRecord('a'))?.version === 2);
    expect(await store.putRecord('a', text('three'), { expected: 2 })).toBe(3);
  });

  test('that is away: STORE_FAILED; back again it has all that was acknowledged', async () => {
    const store = await open({ timeoutMs: 500 });
    await store.putRecord('a', text('one'), { expected: 0, pages: ['p'] });
    await store.putPage('p', LARGE);
    await server.kill();
    await expectCode(store.putRecord('a', text('two'), { expected: 1 }), 'STORE_FAILED');
    await server.start();
    // Another server process: it knows none of the scripts.
    expect(await store.putRecord('a', text('three'), { expected: 1, pages: ['p'] })).toBe(2);
    expect(plain(await store.getRecord('a'))).toEqual({ version: 2, bytes: 'three' });
    expect(same(await store.getPage('p'), LARGE)).toBe(true);
  });

  test('that comes back in time is waited for', async () => {
    const store = await open();
    await store.putRecord('a', text('one'), { expected: 0 });
    await server.kill();
    const write = store.putRecord('a', text('two'), { expected: 1 });
    await pause(50);
    await server.start();
    expect(await write).toBe(2);
  });

  test('whose memory is full: STORE_FAILED says what to do, and nothing half done stays', async () => {
    const store = await open();
    await name(store, 'a', 'p');
    const full = /in Redis \(llama-sessions\): its memory is full; raise `maxmemory`.* \(OOM\)/;
    await server.command('CONFIG', 'SET', 'maxmemory', '1');
    ends.push(() => server.command('CONFIG', 'SET', 'maxmemory', '0'));
    await says(store.putPage('p', LARGE), full);
    await says(store.putRecord('b', text('x'), { expected: 0 }), full);
    await says(store.claim('a', false), full);
    await server.command('CONFIG', 'SET', 'maxmemory', '0');
    expect((await all(store)).map(({ id }) => id)).toEqual(['a']);
    expect(await store.getPage('p')).toBeUndefined();
    expect(await store.putRecord('b', text('x'), { expected: 0 })).toBe(1);
  });

  test('whose memory is full still reads, deletes and keeps claims', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    ends.push(() => vi.useRealTimers());
    const store = await open();
    await store.claim('a', false);
    await name(store, 'a', 'p');
    await store.putPage('p', LARGE);
    const [claim = ''] = await server.keys(':claim:');
    await server.command('CONFIG', 'SET', 'maxmemory', '1');
    ends.push(() => server.command('CONFIG', 'SET', 'maxmemory', '0'));
    expect(same(await store.getPage('p'), LARGE)).toBe(true);
    await server.command('PEXPIRE', claim, '5000');
    vi.advanceTimersByTime(10_000);
    await vi.waitUntil(async () => Number(await server.command('PTTL', claim)) > 5000);
    expect(await store.deleteRecord('a')).toBe(true);
    expect(await server.keys(':page:')).toEqual([]);
  });

  test('whose memory is full has room for whoever wants less of it', async () => {
    const store = await open();
    await name(store, 'a', 'p', 'q', 'r');
    for (const page of ['p', 'q']) await store.putPage(page, LARGE);
    const used = /used_memory:(\d+)/.exec(String(await server.command('INFO', 'memory')))?.[1] ?? '';
    await server.command('CONFIG', 'SET', 'maxmemory', String(Number(used) + 6 * MB));
    ends.push(() => server.command('CONFIG', 'SET', 'maxmemory', '0'));
    await says(store.putPage('r', randomBytes(32 * MB)), /fewer `pageBytes`/);
    expect(await (await open({ pageBytes: 10 * MB })).putPage('r', LARGE)).toBe(true);
  });

  test('that is busy with a long script is waited for', async () => {
    const store = await open();
    await store.putRecord('a', text('one'), { expected: 0 });
    await server.command('CONFIG', 'SET', 'busy-reply-threshold', '5');
    ends.push(() => server.command('CONFIG', 'SET', 'busy-reply-threshold', '5000'));
    const busy = server.command('EVAL', 'for i = 1, 30000000 do end return 1', '0');
    await pause(30);
    expect(plain(await store.getRecord('a'))?.bytes).toBe('one');
    expect(await busy).toBe(1);
  });

  test('that failed in the middle of a write: the next one makes up for it', async () => {
    const store = await open();
    await server.command('SET', '{llama-sessions}:expiry', 'not a set');
    await expectCode(store.putRecord('a', text('x'), { expected: 0, pages: ['p'], expiresAt: 5 }), 'STORE_FAILED');
    await server.command('DEL', '{llama-sessions}:expiry');
    const expected = (await store.getRecord('a'))?.version ?? 0;
    await store.putRecord('a', text('y'), { expected, pages: ['p'] });
    expect((await all(store)).map(({ id }) => id)).toEqual(['a']);
    expect(await store.putPage('p', random(5))).toBe(true);
    await store.deleteRecord('a');
    expect((await server.keys()).map(String)).toEqual(['{llama-sessions}:totals']);
  });

  test('on which another program has such keys: STORE_FAILED says so', async () => {
    await server.command('SET', '{llama-sessions}:ids', 'not a set');
    await says((await open()).putRecord('a', text('x'), { expected: 0 }), /another `prefix`/);
  });
});
