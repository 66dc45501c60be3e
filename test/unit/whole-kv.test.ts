import { describe, expect, test } from 'vitest';
import { SessionKv } from '../../lib/residency.js';
import { makePlace, parked, say, type Place, never } from '../support/residency.js';

describe('where KV can be taken as a whole only', () => {
  const sizes = (place: Place): string[] => place.engine.taken().filter((command) => !command.startsWith('compute'));

  test('it leaves and comes back as one', async () => {
    const place = makePlace({ pages: false });
    const a = await parked(place, say(100));
    expect(await place.speak(a, say(120))).toBe(100);
    expect(sizes(place)).toEqual(['export 0 0-100', 'clear 0', 'import 0 0-100 ours']);
    expect(place.store.pages.size).toBe(1);
  });

  test('more of it than the prompt begins with is brought back where the engine can cut it off', async () => {
    const place = makePlace({ pages: false });
    const a = await parked(place, say(100));
    expect(await place.speak(a, say(120, 2, 60))).toBe(60);
    const whole = makePlace({ pages: false, portableKv: false });
    const b = await parked(whole, say(100));
    whole.engine.taken();
    expect(await whole.speak(b, say(120, 2, 60))).toBe(0);
    expect(sizes(whole)).toEqual([]);
    expect(place.engine.mixups).toBe(0);
  });

  test('a turn that is stopped before it begins leaves it as it was', async () => {
    const { residency, ...place } = makePlace({ pages: false });
    const a = await parked({ residency, ...place }, say(100));
    residency.seat(a);
    await residency.restore(a, say(120, 2, 60), never);
    residency.release(a);
    expect([a.tokens, residency.tierOf(a)]).toEqual([say(100), 'device']);
    await residency.park(a);
    expect(await place.speak(a, say(120))).toBe(100);
    expect(place.engine.mixups).toBe(0);
  });

  test('a turn that is stopped while it is read leaves it where it was', async () => {
    const place = makePlace({ pages: false });
    const a = await parked(place, say(100));
    place.tiers.forget(a.pages.map(({ key }) => key));
    place.tiers.presume(a.pages);
    place.store.reads.close();
    place.residency.seat(a);
    await place.residency.restore(a, say(120), Promise.resolve());
    place.residency.release(a);
    place.store.reads.open();
    expect([a.tokens, place.residency.tierOf(a)]).toEqual([say(100), 'store']);
    expect(await place.speak(a, say(120))).toBe(100);
    expect(place.engine.mixups).toBe(0);
  });

  test('refused, nothing is left', async () => {
    const place = makePlace({ pages: false });
    const a = await parked(place, say(100));
    place.engine.refusesFrom = 50;
    expect(await place.speak(a, say(120))).toBe(0);
    expect(place.tiers.counters.kvMisses).toBe(1);
  });

  test('a session on the device is left alone, and a new one looks nowhere', async () => {
    const place = makePlace({ pages: false });
    const a = new SessionKv();
    await place.speak(a, say(100));
    await place.speak(a, say(120, 2, 60));
    expect(sizes(place)).toEqual([]);
    expect(place.store.calls).toEqual([]);
  });
});
