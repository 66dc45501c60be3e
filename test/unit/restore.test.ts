import { describe, expect, test } from 'vitest';
import { SessionKv } from '../../lib/residency.js';
import { until, within } from '../support/deadline.js';
import { makePlace, PAGE, parked, say, type Place, never } from '../support/residency.js';
import { tick } from '../support/turns.js';

/** From now on its pages are in the store alone. */
function storedOnly({ tiers }: Place, { pages }: SessionKv): void {
  tiers.forget(pages.map(({ key }) => key));
  tiers.presume(pages);
}

/** A parked session of four pages, and on the device another one that has begun with the same 70 tokens. */
async function besideOneAlike(): Promise<{ place: Place; a: SessionKv }> {
  const place = makePlace();
  const a = await parked(place, say(4 * PAGE));
  expect(await place.speak(new SessionKv(), say(3 * PAGE, 2, 70))).toBe(2 * PAGE);
  return { place, a };
}

describe('bringing KV back', () => {
  test('what others hold on the device is shared, only what is beyond it comes in', async () => {
    const { place, a } = await besideOneAlike();
    expect(place.residency.counters.ramRestores).toBe(1);
    place.engine.taken();
    expect(await place.speak(a, say(4 * PAGE + 5))).toBe(4 * PAGE);
    expect(place.engine.taken()).toEqual([
      'share 1 0-32',
      'share 1 32-64',
      'import 1 64-96 ours',
      'import 1 96-128 ours',
      'compute 1 133: 128 held',
    ]);
    expect(place.residency.counters).toMatchObject({ ramRestores: 2, storeRestores: 0, declinedRestores: 0 });
    expect(place.residency.counters.restoreMs).toBeGreaterThan(0);
    expect(place.engine.mixups).toBe(0);
  });

  test('what others hold on the device is not read from the store', async () => {
    const { place, a } = await besideOneAlike();
    await place.tiers.written();
    storedOnly(place, a);
    place.engine.taken();
    place.store.calls.length = 0;
    expect(await place.speak(a, say(4 * PAGE + 5))).toBe(4 * PAGE);
    expect(place.engine.taken()).toEqual([
      'adopt 1 133: 70',
      'import 1 64-96 foreign',
      'import 1 96-128 foreign',
      'compute 1 133: 128 held',
    ]);
    expect(place.store.calls.filter((call) => call.startsWith('get'))).toHaveLength(2);
  });

  test('nothing is asked for when all is on the device, or nothing is anywhere', async () => {
    const { engine, residency, speak } = makePlace({ keepsPages: false });
    const a = new SessionKv();
    await speak(a, say(2 * PAGE));
    expect(await speak(a, say(3 * PAGE))).toBe(2 * PAGE);
    expect(engine.taken()).toEqual(['compute 0 64: 0 held', 'compute 0 96: 64 held']);
    expect(residency.counters).toMatchObject({ ramRestores: 0, restoreMs: 0 });
  });

  test('its own last page comes back when the prompt goes on from it, and not when it does not', async () => {
    const place = makePlace();
    const a = await parked(place, say(PAGE + 20));
    place.engine.taken();
    expect(await place.speak(a, say(3 * PAGE))).toBe(PAGE + 20);
    expect(place.engine.taken()).toContain('import 0 32-52 ours');
    const b = await parked(place, say(PAGE + 20, 2));
    place.engine.taken();
    expect(
      await place.speak(
        b,
        say(3 * PAGE, 9).map((token, i) => (i < PAGE + 19 ? 2000 + i : token)),
      ),
    ).toBe(PAGE);
    expect(place.engine.taken().filter((command) => command.startsWith('import'))).toEqual(['import 1 0-32 ours']);
    expect(place.engine.mixups).toBe(0);
  });

  test("a session that goes on from another's words uses its pages", async () => {
    const place = makePlace();
    await parked(place, say(3 * PAGE));
    const b = await parked(place, say(PAGE, 2));
    expect(await place.speak(b, say(4 * PAGE, 3, 80))).toBe(2 * PAGE);
    expect(place.engine.mixups).toBe(0);
  });

  test('it stops at the first page that is missing', async () => {
    const place = makePlace();
    const a = await parked(place, say(4 * PAGE));
    const [, second] = a.pages;
    place.tiers.forget([second!.key]);
    place.store.pages.delete(second!.key);
    place.engine.taken();
    expect(await place.speak(a, say(4 * PAGE))).toBe(PAGE);
    expect(place.engine.taken().filter((command) => command.startsWith('import'))).toEqual(['import 0 0-32 ours']);
    // The same of one that the store was believed to have.
    const b = await parked(place, say(4 * PAGE, 2));
    storedOnly(place, b);
    place.store.pages.delete(b.pages[1]!.key);
    expect(await place.speak(b, say(4 * PAGE, 2))).toBe(PAGE);
    expect(place.tiers.counters.kvMisses).toBe(1);
  });

  test('a page that the store does not have makes those behind it doubtful, however many: they are copied again', async () => {
    const place = makePlace();
    const { engine, store, tiers, residency } = place;
    const a = await parked(place, say(9 * PAGE));
    storedOnly(place, a);
    for (const { key } of a.pages.slice(1)) store.pages.delete(key);
    expect(await place.speak(a, say(9 * PAGE))).toBe(PAGE);
    engine.taken();
    await residency.park(a);
    expect(engine.taken().filter((command) => command.startsWith('export'))).toHaveLength(8);
    await within('written', tiers.written());
    expect(store.pages.size).toBe(9);
  });

  test('a turn that is stopped while they are read says nothing of them', async () => {
    const place = makePlace();
    const a = await parked(place, say(9 * PAGE));
    storedOnly(place, a);
    place.store.reads.close();
    place.residency.seat(a);
    await place.residency.restore(a, say(9 * PAGE), Promise.resolve());
    place.residency.release(a);
    place.store.reads.open();
    expect(await place.speak(a, say(9 * PAGE))).toBe(9 * PAGE);
  });

  test('from the store it is not ours, and read a few pages ahead', async () => {
    const place = makePlace();
    const { engine, store, residency } = place;
    const a = await parked(place, say(7 * PAGE));
    storedOnly(place, a);
    expect(residency.tierOf(a)).toBe('store');
    engine.taken();
    store.calls.length = 0;
    store.reads.close();
    const spoken = place.speak(a, say(7 * PAGE));
    await until('pages are read', () => store.reads.waiting > 0);
    await tick();
    expect(store.reads.waiting).toBe(4);
    store.reads.step();
    await until('one more is read', () => store.calls.length === 5);
    expect(engine.taken()).toEqual(['adopt 0 224: 0', 'import 0 0-32 foreign']);
    store.reads.open();
    expect(await spoken).toBe(7 * PAGE);
    expect(store.calls).toEqual(a.pages.map(({ key }) => `get ${key}`));
    expect(residency.counters).toMatchObject({ ramRestores: 0, storeRestores: 1 });
    expect(engine.mixups).toBe(0);
  });

  test('a new session finds what others have stored; where no pages are kept nobody looks', async () => {
    const place = makePlace();
    const a = await parked(place, say(2 * PAGE));
    place.tiers.forget(a.pages.map(({ key }) => key));
    expect(await place.speak(new SessionKv(), say(3 * PAGE))).toBe(2 * PAGE);
    // Only whole pages can be others'.
    place.store.calls.length = 0;
    await place.speak(new SessionKv(), say(PAGE + 20, 5));
    expect(place.store.calls).toHaveLength(1);
    // One that knows where its own is does not look for what nobody here knows of.
    const b = await parked(place, say(2 * PAGE, 2));
    place.store.calls.length = 0;
    expect(await place.speak(b, say(3 * PAGE, 2))).toBe(2 * PAGE);
    expect(place.store.calls).toEqual([]);
  });

  test('a page that the engine refuses is a miss; those behind it are waited for', async () => {
    const place = makePlace();
    const { engine, tiers, residency } = place;
    const a = await parked(place, say(4 * PAGE));
    engine.refusesFrom = 2 * PAGE;
    engine.taken();
    expect(await place.speak(a, say(4 * PAGE))).toBe(2 * PAGE);
    expect(engine.taken().filter((command) => command.startsWith('import'))).toHaveLength(4);
    expect(tiers.counters.kvMisses).toBe(1);
    expect(residency.counters.ramRestores).toBe(1);
    const b = await parked(place, say(4 * PAGE, 2));
    engine.refusesFrom = 0;
    expect(await place.speak(b, say(4 * PAGE, 2))).toBe(0);
    expect(residency.counters.ramRestores).toBe(1);
    expect(residency.tierOf(b)).toBe('device');
  });

  test('a refused page takes with it what was there of it', async () => {
    const { place, a } = await besideOneAlike();
    const { residency, engine } = place;
    engine.refusesFrom = 0;
    const sequence = residency.seat(a);
    await residency.restore(a, say(4 * PAGE), never);
    expect(a.tokens.length).toBe(2 * PAGE);
    expect(engine.compute(sequence, a.tokens)).toBe(2 * PAGE);
  });

  test('a turn that is stopped before it begins leaves what was brought back', async () => {
    const { residency, engine, ...place } = makePlace();
    const a = await parked({ residency, engine, ...place }, say(4 * PAGE));
    residency.seat(a);
    await residency.restore(a, say(3 * PAGE, 2, 2 * PAGE), never);
    residency.release(a);
    expect([a.tokens, residency.tierOf(a)]).toEqual([say(2 * PAGE), 'device']);
    engine.taken();
    expect(await place.speak(a, say(2 * PAGE + 5))).toBe(2 * PAGE);
    expect(engine.taken()).toEqual(['compute 0 69: 64 held']);
  });

  test('an engine that fails costs the turn its KV, and no rejection is left alone', async () => {
    const place = makePlace();
    const a = await parked(place, say(4 * PAGE));
    place.engine.failsImports = true;
    expect(await place.speak(a, say(4 * PAGE))).toBe(0);
    expect(place.tiers.counters.kvMisses).toBe(1);
  });

  test('it is declined when computing is expected to be faster', async () => {
    const place = makePlace({ always: false });
    const { residency, engine, store } = place;
    const a = await parked(place, say(2 * PAGE));
    residency.worth.computed(1000, 1);
    residency.worth.restored('ram', 1, 1000);
    engine.taken();
    store.calls.length = 0;
    expect(await place.speak(a, say(2 * PAGE))).toBe(0);
    expect(engine.taken()).toEqual(['compute 0 64: 0 held']);
    expect(residency.counters).toMatchObject({ declinedRestores: 1, ramRestores: 0 });
    expect(store.calls).toEqual([]);
  });

  test('what it took is what the next decision knows', async () => {
    const place = makePlace({ always: false });
    const { residency, engine } = place;
    const a = await parked(place, say(2 * PAGE));
    const measured: [string, number][] = [];
    residency.worth.restored = (tier, pages) => measured.push([tier, pages]);
    place.tiers.forget([a.pages[1]!.key]);
    place.tiers.presume([a.pages[1]!]);
    expect(await place.speak(a, say(2 * PAGE))).toBe(2 * PAGE);
    expect(measured).toEqual([
      ['ram', 1],
      ['store', 1],
    ]);
    expect(engine.mixups).toBe(0);
  });
});
