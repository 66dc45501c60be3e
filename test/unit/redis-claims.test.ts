/** Who has a session in Redis, and for how long. */
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { redisStores } from '../support/redis-stores.js';
import { expectCode, text } from '../suites/store-values.js';

const { server, ends, open } = redisStores();

describe('a claim', () => {
  test('lapses when its owner says nothing more', async () => {
    const [one, other] = [await open(), await open()];
    await one.claim('a', false);
    const [claim = ''] = await server.keys();
    expect(await server.command('PTTL', claim)).toBeGreaterThan(25_000);
    await server.command('PEXPIRE', claim, '1');
    await pause(10);
    await other.claim('a', false);
    await expectCode(one.putRecord('a', text('x'), { expected: 0 }), 'SESSION_CONFLICT');
  });

  describe('of an owner who lives', () => {
    beforeEach(() => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      ends.push(() => vi.useRealTimers());
    });
    const ids = Array.from({ length: 1200 }, (_, i) => `session ${String(i)}`);
    const claims = async (): Promise<number> => (await server.keys()).length;

    test('is renewed, however many there are, and taken back where it has lapsed', async () => {
      const store = await open();
      await Promise.all(ids.map((id) => store.claim(id, false)));
      const lapse = `for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('PEXPIRE', key, 1) end`;
      await server.command('EVAL', lapse, '0');
      await vi.waitUntil(async () => (await claims()) === 0);
      vi.advanceTimersByTime(10_000);
      await vi.waitUntil(async () => (await claims()) === ids.length);
      await store.close();
      expect(await claims()).toBe(0);
    });

    test('that is let go of while it is renewed is gone', async () => {
      const store = await open();
      await Promise.all(ids.map((id) => store.claim(id, false)));
      vi.advanceTimersByTime(10_000);
      await Promise.all(ids.map((id) => store.release(id)));
      expect(await claims()).toBe(0);
    });

    test('is not taken back from who took it over, wrote, and let go', async () => {
      const [one, other, third] = [await open(), await open(), await open()];
      await one.claim('a', false);
      vi.advanceTimersByTime(5000);
      await other.claim('a', true);
      await other.putRecord('a', text('x'), { expected: 0 });
      await other.release('a');
      vi.advanceTimersByTime(5000);
      await one.claim('b', false); // behind the beat, on the same connection
      await third.claim('a', false);
    });

    test('is not renewed once somebody else has taken it', async () => {
      const [one, other] = [await open(), await open()];
      await one.claim('a', false);
      vi.advanceTimersByTime(5000);
      await other.claim('a', true);
      vi.advanceTimersByTime(5000);
      await one.claim('b', false); // behind the beat, on the same connection
      await other.putRecord('a', text('x'), { expected: 0 });
      await expectCode(one.putRecord('a', text('y'), { expected: 1 }), 'SESSION_CONFLICT');
    });
  });
});
