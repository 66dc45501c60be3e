/** Claims whose index can't be written just then, and those that come and go at the same time. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { Environment } from '../../lib/stores/environment.js';
import { bytes, errno, failure, makeBench } from '../support/directory.js';
import { holdTime, type Time } from '../support/time.js';

const BEAT_MS = 10_000;
const bench = makeBench();
let other: DirectoryStore;
let time: Time;
beforeEach(() => {
  time = holdTime();
  other = new DirectoryStore(bench.root);
});
afterEach(() => other.close());

const conflicts = async (id = 'a'): Promise<void> =>
  expect((await failure(other.claim(id, false))).code).toBe('SESSION_CONFLICT');
const isFree = (id = 'a'): Promise<void> => vi.waitFor(() => other.claim(id, false));
/** The next commit fails. */
const failOnce = (code = 'ENOSPC'): void =>
  void vi.spyOn(Environment.prototype, 'commit').mockRejectedValueOnce(errno(code));

describe('a claim whose release failed', () => {
  beforeEach(async () => {
    await bench.store.claim('a', false);
    failOnce();
    expect((await failure(bench.store.release('a'))).message).toMatch(/disk is full/);
    await conflicts();
  });

  test('is released by the next heartbeat that can', async () => {
    failOnce();
    time.pass(BEAT_MS);
    await vi.waitFor(() => expect(Environment.prototype.commit).toHaveBeenCalledTimes(2));
    await conflicts();
    time.pass(BEAT_MS);
    await isFree();
    await other.release('a');
    // Nothing is left to say.
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(0));
  });

  test('is released when it is asked for again', async () => {
    await bench.store.release('a');
    await other.claim('a', false);
  });

  test('is released by close()', async () => {
    await bench.store.close();
    await other.claim('a', false);
  });

  test('is nobody else’s to give away once it is claimed again', async () => {
    await bench.store.claim('a', false);
    await bench.store.claim('b', false);
    time.pass(BEAT_MS);
    await bench.store.release('b');
    await conflicts();
    expect(await bench.store.putRecord('a', bytes('x'), { expected: 0 })).toBe(1);
    await bench.store.release('a');
    await other.claim('a', false);
  });

  test('and that was taken over since stays with who has it', async () => {
    await other.claim('a', true);
    time.pass(BEAT_MS);
    await bench.store.claim('b', false);
    expect(await other.putRecord('a', bytes('x'), { expected: 0 })).toBe(1);
    expect((await failure(bench.store.claim('a', false))).code).toBe('SESSION_CONFLICT');
  });
});

test('a claim that is asked for again in vain is held as before, and released', async () => {
  await bench.store.claim('a', false);
  failOnce();
  await failure(bench.store.claim('a', false));
  time.pass(BEAT_MS);
  await conflicts();
  await bench.store.release('a');
  await other.claim('a', false);
});

test.each([
  ['succeeds', () => undefined, 'fulfilled'],
  ['fails', failOnce, 'rejected'],
])('a claim that comes while its release is on its way, which %s, holds', async (_, prepare, status) => {
  await bench.store.claim('a', false);
  prepare();
  const [released] = await Promise.allSettled([bench.store.release('a'), bench.store.claim('a', false)]);
  expect(released.status).toBe(status);
  time.pass(BEAT_MS);
  await bench.store.getRecord('a');
  await conflicts();
  await bench.store.release('a');
  await other.claim('a', false);
});

test('many released at once leave nothing', async () => {
  const ids = Array.from({ length: 50 }, (_, i) => String(i));
  await Promise.all(ids.map((id) => bench.store.claim(id, false)));
  await Promise.all(ids.map((id) => bench.store.release(id)));
  expect(vi.getTimerCount()).toBe(0);
  await Promise.all(ids.map((id) => other.claim(id, false)));
});

describe('close()', () => {
  beforeEach(async () => {
    await bench.store.putRecord('r', bytes('x'), { expected: 0, pages: ['p'] });
    await bench.store.putPage('p', bytes('page'));
    await bench.store.claim('a', false);
    // Long enough for its use to be worth a note.
    time.setClock(new Date(Date.now() + 61_000));
    await bench.store.getPage('p');
  });

  test('that can’t note the use of pages lets go of what it has claimed all the same', async () => {
    failOnce();
    await bench.store.close();
    expect(vi.getTimerCount()).toBe(0);
    await other.claim('a', false);
  });

  test('that can write nothing ends its heartbeat all the same', async () => {
    vi.spyOn(Environment.prototype, 'commit').mockRejectedValue(errno('ENOSPC'));
    expect((await failure(bench.store.close())).message).toMatch(/Could not close .*disk is full/);
    expect(vi.getTimerCount()).toBe(0);
  });
});
