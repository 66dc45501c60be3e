import { describe, expect, test } from 'vitest';
import { SessionKv } from '../../lib/residency.js';
import { until, within } from '../support/deadline.js';
import { makePlace, PAGE, parked, say, never } from '../support/residency.js';
import { tick } from '../support/turns.js';

describe('who has a sequence', () => {
  test('they are given out from the lowest number, and then taken from who has been idle the longest', async () => {
    const { residency, engine, speak } = makePlace();
    const [a, b, c] = [new SessionKv(), new SessionKv(), new SessionKv()];
    await speak(a, say(40, 1));
    await speak(b, say(40, 2));
    await speak(a, say(50, 1));
    expect([a.sequence, b.sequence, residency.residentCount]).toEqual([0, 1, 2]);
    await speak(c, say(40, 3));
    expect([a.sequence, b.sequence, c.sequence]).toEqual([0, undefined, 1]);
    expect([a, b, c].map((kv) => residency.tierOf(kv))).toEqual(['device', 'ram', 'device']);
    await b.moving;
    expect(residency.counters.parks).toBe(1);
    residency.drop(a);
    expect(residency.seat(b)).toBe(0);
    expect(engine.mixups).toBe(0);
  });

  test('what counts is when a turn ended, and the lowest number that is free', async () => {
    const { residency, speak } = makePlace({ sequences: 3 });
    const [a, b, c, d] = [new SessionKv(), new SessionKv(), new SessionKv(), new SessionKv()];
    for (const kv of [a, b, c]) residency.seat(kv);
    for (const kv of [c, b, a]) residency.release(kv);
    await speak(d, say(40));
    expect([a.sequence, b.sequence, c.sequence, d.sequence]).toEqual([0, 1, undefined, 2]);
    residency.drop(a);
    residency.drop(d);
    expect(residency.seat(c)).toBe(0);
  });

  test('lower ranks leave first, whoever was there first; pinned ones when all who are idle are pinned', async () => {
    const { residency, speak } = makePlace({ sequences: 3 });
    const [pinned, low, high] = [new SessionKv(), new SessionKv(), new SessionKv()];
    [pinned.rank, low.rank, high.rank] = [Infinity, -1, 5];
    for (const kv of [pinned, high, low]) await speak(kv, say(40, kv.rank));
    const left: SessionKv[] = [];
    for (const kv of [pinned, low, high]) kv.onParked = () => left.push(kv);
    for (let i = 0; i < 3; i++) {
      const kv = new SessionKv();
      expect(residency.fits(kv)).toBe(true);
      residency.seat(kv);
      await tick();
    }
    expect(left).toEqual([low, high, pinned]);
  });

  test('a busy one never leaves: who comes later has to wait', async () => {
    const { residency, engine, speak } = makePlace({ sequences: 1 });
    const [a, b] = [new SessionKv(), new SessionKv()];
    let rooms = 0;
    residency.onRoom = () => rooms++;
    await speak(a, say(PAGE));
    engine.taken();
    residency.seat(a);
    expect([residency.fits(a), residency.fits(b)]).toEqual([true, false]);
    expect(() => residency.seat(b)).toThrow(RangeError);
    await residency.park(a);
    residency.parkIdle(Infinity);
    residency.settle(Infinity);
    expect([a.sequence, residency.residentCount, residency.counters.parks]).toEqual([0, 1, 0]);
    expect(engine.taken()).toEqual([]);
    rooms = 0;
    residency.release(a);
    expect([rooms, residency.fits(b), residency.seat(b)]).toEqual([1, true, 0]);
    expect([a.sequence, residency.counters.parks, residency.tierOf(a)]).toEqual([undefined, 1, 'ram']);
  });

  test('one that has no KV is not parked, it only gives its place back', async () => {
    const { residency, engine } = makePlace({ sequences: 1 });
    const a = new SessionKv();
    a.onParked = () => expect.unreachable();
    residency.seat(a);
    await residency.restore(a, say(40), never);
    residency.release(a);
    engine.taken();
    await residency.park(a);
    expect([a.sequence, residency.counters.parks, residency.tierOf(a)]).toEqual([undefined, 0, 'none']);
    expect(engine.taken()).toEqual(['clear 0']);
  });
});

describe('parking', () => {
  test('a sequence is handed on at once: copied out, cleared, and then for the next', async () => {
    const { residency, engine, tiers, speak } = makePlace({ sequences: 1 });
    const [a, b] = [new SessionKv(), new SessionKv()];
    await speak(a, say(2 * PAGE + 20, 1));
    engine.exports.close();
    await speak(b, say(40, 2));
    expect(engine.taken()).toEqual([
      'adopt 0 84: 0', // others may have stored what it begins with
      'compute 0 84: 0 held',
      'export 0 0-32',
      'export 0 32-64',
      'export 0 64-84',
      'clear 0',
      'adopt 0 40: 0',
      'compute 0 40: 0 held',
    ]);
    // On its way it is in RAM already, and whoever reads it waits.
    expect(residency.tierOf(a)).toBe('ram');
    expect(tiers.ramBytes).toBe(0);
    engine.exports.open();
    expect(await speak(a, say(84, 1))).toBe(84);
    expect(engine.mixups).toBe(0);
  });

  test('copies only pages that neither RAM nor the store has', async () => {
    const { residency, engine, store, tiers, speak } = makePlace();
    const [a, b, c] = [new SessionKv(), new SessionKv(), new SessionKv()];
    await speak(a, say(2 * PAGE, 0, 64));
    await residency.park(a);
    await speak(b, say(3 * PAGE, 2, 64));
    engine.taken();
    await residency.park(b);
    expect(engine.taken()).toEqual(['export 0 64-96', 'clear 0']);
    await within('written', tiers.written());
    expect(store.pages.size).toBe(3);
    // The turn went on: its page is another one, those before it are not.
    await speak(b, say(3 * PAGE + 20, 2, 64));
    engine.taken();
    await residency.park(b);
    expect(engine.taken()).toEqual(['export 0 96-116', 'clear 0']);
    await within('written', tiers.written());
    // In the store is enough.
    tiers.forget(a.pages.map(({ key }) => key));
    tiers.presume(a.pages);
    await speak(c, say(2 * PAGE + 20, 3, 64));
    engine.taken();
    await residency.park(c);
    expect(engine.taken()).toEqual(['export 0 64-84', 'clear 0']);
  });

  test('what follows the last full page is copied when it is worth a page', async () => {
    const { residency, engine, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(PAGE + 15));
    engine.taken();
    await residency.park(a);
    expect(engine.taken()).toEqual(['export 0 0-32', 'clear 0']);
  });

  test.each([2 ** 24, 0])(
    'its pages go to the store once their record is there, with %d bytes of RAM',
    async (ramBytes) => {
      const { residency, store, tiers, speak } = makePlace({ ramBytes });
      const a = new SessionKv();
      let recorded: () => void = () => undefined;
      await speak(a, say(2 * PAGE));
      a.recorded = new Promise<void>((resolve) => (recorded = resolve));
      await residency.park(a);
      await tick();
      expect(store.puts).toBe(0);
      recorded();
      await until('they are on their way', () => store.puts === 2);
      await within('written', tiers.written());
      expect([...store.pages.keys()]).toEqual(a.pages.map(({ key }) => key));
    },
  );

  test('pages that the store refused or could not write are offered again', async () => {
    const { residency, store, tiers, speak } = makePlace();
    const a = new SessionKv();
    store.refuses = true;
    await speak(a, say(PAGE));
    await residency.park(a);
    await tick();
    await within('refused', tiers.written());
    store.refuses = false;
    store.fails = true;
    await speak(a, say(2 * PAGE));
    await residency.park(a);
    await tick();
    await within('failed', tiers.written());
    expect(store.pages.size).toBe(0);
    store.fails = false;
    await speak(a, say(3 * PAGE));
    await residency.park(a);
    await tick();
    await within('written', tiers.written());
    expect(store.pages.size).toBe(3);
  });

  test('… by whoever asks for it once more, on its way out of the process, say', async () => {
    const place = makePlace();
    place.store.fails = true;
    const a = await parked(place, say(2 * PAGE));
    expect(place.store.pages.size).toBe(0);
    place.store.fails = false;
    await place.residency.park(a);
    place.residency.drop(a);
    await within('written', place.tiers.written());
    expect(place.store.pages.size).toBe(2);
  });

  test('KV that can not be checked stays in RAM', async () => {
    const { residency, store, engine, speak } = makePlace({ portableKv: false });
    const [a, fresh] = [new SessionKv(), new SessionKv()];
    await speak(a, say(2 * PAGE));
    await residency.park(a);
    await tick();
    expect(residency.tierOf(a)).toBe('ram');
    expect(await speak(a, say(70))).toBe(64);
    await speak(fresh, say(70, 2));
    residency.presume(new SessionKv(), say(64, 3));
    expect(store.calls).toEqual([]);
    expect(engine.mixups).toBe(0);
  });

  test('its listener is told when all is copied', async () => {
    const { residency, engine, speak } = makePlace();
    const a = new SessionKv();
    const told: unknown[] = [];
    a.onParked = () => told.push(residency.tierOf(a));
    await speak(a, say(PAGE));
    engine.exports.close();
    const parking = residency.park(a);
    await tick();
    expect(told).toEqual([]);
    engine.exports.open();
    await parking;
    await tick();
    expect(told).toEqual(['ram']);
    await residency.park(a);
    expect([told.length, residency.counters.parks]).toEqual([1, 1]);
  });

  test('an export that fails loses KV, and nothing else', async () => {
    const { residency, engine, store, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(3 * PAGE));
    engine.failsExports = true;
    await within('parking', residency.park(a));
    await tick();
    expect([residency.tierOf(a), a.sequence, store.puts]).toEqual(['none', undefined, 0]);
    engine.failsExports = false;
    expect(await speak(a, say(3 * PAGE))).toBe(0);
    await residency.park(a);
    expect(residency.tierOf(a)).toBe('ram');
  });
});
