import { describe, expect, test } from 'vitest';
import { SessionKv } from '../../lib/residency.js';
import { within } from '../support/deadline.js';
import { makePlace, PAGE, say } from '../support/residency.js';
import { tick } from '../support/turns.js';

describe('what is done for idle sessions', () => {
  test('settle() copies what has been idle since before then, once, and it stays', async () => {
    const { residency, engine, store, tiers, speak } = makePlace();
    const [a, b] = [new SessionKv(), new SessionKv()];
    await speak(a, say(2 * PAGE, 1));
    await speak(b, say(PAGE, 2));
    engine.taken();
    residency.settle(Math.min(a.idleSince, b.idleSince));
    expect(engine.taken()).toEqual([]);
    a.idleSince = 5;
    residency.settle(6);
    residency.settle(6);
    expect(engine.taken()).toEqual(['export 0 0-32', 'export 0 32-64']);
    await a.moving;
    await tick();
    await within('written', tiers.written());
    expect([store.pages.size, residency.tierOf(a)]).toEqual([2, 'device']);
    await residency.park(a);
    expect(engine.taken()).toEqual(['clear 0']);
    expect(await speak(a, say(2 * PAGE, 1))).toBe(64);
    engine.taken();
    await speak(a, say(3 * PAGE, 1));
    residency.settle(Infinity);
    expect(engine.taken()).toEqual(['compute 0 96: 64 held', 'export 1 0-32', 'export 0 64-96']);
  });

  test('what the engine can not copy is not asked for again and again', async () => {
    const { residency, engine, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(PAGE));
    engine.failsExports = true;
    engine.taken();
    residency.settle(Infinity);
    await a.moving;
    residency.settle(Infinity);
    expect(engine.taken()).toEqual(['export 0 0-32']);
  });

  test('who parks while it is being copied is parked when that is done', async () => {
    const { residency, engine, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(PAGE));
    engine.exports.close();
    residency.settle(Infinity);
    let parked = false;
    const parking = residency.park(a).then(() => (parked = true));
    await tick();
    expect(parked).toBe(false);
    engine.exports.open();
    await within('parking', parking);
    expect(engine.taken().filter((command) => command.startsWith('export'))).toHaveLength(1);
  });

  test('parkIdle() parks who has been idle since before then', async () => {
    const { residency, speak } = makePlace();
    const [a, b] = [new SessionKv(), new SessionKv()];
    await speak(a, say(PAGE, 1));
    await speak(b, say(PAGE, 2));
    [a.idleSince, b.idleSince] = [5, 6];
    residency.parkIdle(6);
    expect([a.sequence, b.sequence]).toEqual([undefined, 1]);
    await a.moving;
    expect(residency.tierOf(a)).toBe('ram');
  });

  test('under pressure idle ones leave until there is room, and busy ones as soon as they are idle', async () => {
    const { residency, engine, speak } = makePlace({ sequences: 4 });
    const kvs = Array.from({ length: 4 }, () => new SessionKv());
    for (const [i, kv] of kvs.entries()) await speak(kv, say(PAGE, i));
    residency.seat(kvs[0]!);
    let rooms = 0;
    residency.onRoom = () => rooms++;
    engine.onPressure(PAGE + 1);
    expect([kvs.map(({ sequence }) => sequence !== undefined), rooms]).toEqual([[true, false, false, true], 1]);
    engine.onPressure(2 * PAGE);
    expect(kvs.map(({ sequence }) => sequence !== undefined)).toEqual([true, false, false, false]);
    residency.release(kvs[0]!);
    expect(kvs[0]!.sequence).toBeUndefined();
    await speak(kvs[1]!, say(PAGE, 1));
    expect(kvs[1]!.sequence).toBe(0);
  });

  test('one that holds nothing on the device makes no room', async () => {
    const { residency, engine, speak } = makePlace();
    const [stopped, a] = [new SessionKv(), new SessionKv()];
    await speak(stopped, say(PAGE, 1));
    await residency.park(stopped);
    residency.seat(stopped);
    residency.release(stopped); // before it was restored
    await speak(a, say(PAGE, 2));
    engine.onPressure(PAGE);
    expect([stopped.sequence, a.sequence]).toEqual([undefined, undefined]);
    expect(residency.tierOf(stopped)).toBe('ram');
  });
});
