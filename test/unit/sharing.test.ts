import { describe, expect, test } from 'vitest';
import { SessionKv } from '../../lib/residency.js';
import { until, within } from '../support/deadline.js';
import { makePlace, PAGE, say } from '../support/residency.js';

describe('fork', () => {
  test('parent and child share cells: nothing is copied, and both talk on', async () => {
    const { residency, engine, speak } = makePlace();
    const [parent, child] = [new SessionKv(), new SessionKv()];
    await speak(parent, say(2 * PAGE + 10));
    engine.taken();
    residency.fork(parent, child, say(2 * PAGE + 10));
    expect([child.sequence, residency.tierOf(child), residency.residentCount]).toEqual([1, 'device', 2]);
    expect(engine.taken()).toEqual(['adopt 1 74: 74']);
    expect(await speak(child, say(100, 2, 74))).toBe(74);
    expect(await speak(parent, say(100, 3, 74))).toBe(74);
  });

  test('it has only been idle since then', async () => {
    const { residency, engine, speak } = makePlace();
    const [parent, child] = [new SessionKv(), new SessionKv()];
    await speak(parent, say(PAGE));
    residency.fork(parent, child, say(PAGE));
    engine.taken();
    residency.parkIdle(parent.idleSince);
    residency.settle(parent.idleSince);
    expect([child.sequence, engine.taken()]).toEqual([1, []]);
  });

  test('up to a message before, only what is common', async () => {
    const { residency, speak } = makePlace();
    const [parent, child] = [new SessionKv(), new SessionKv()];
    await speak(parent, say(2 * PAGE));
    residency.fork(parent, child, say(PAGE + 5));
    expect(child.tokens).toEqual(say(PAGE + 5));
    expect(await speak(child, say(2 * PAGE, 2, PAGE + 5))).toBe(PAGE + 5);
  });

  test('without a sequence that nobody needs it waits for its first turn, and nobody is parked for it', async () => {
    const { residency, engine, speak } = makePlace({ sequences: 1 });
    const [parent, child] = [new SessionKv(), new SessionKv()];
    await speak(parent, say(2 * PAGE));
    engine.taken();
    residency.fork(parent, child, say(2 * PAGE));
    expect([child.sequence, parent.sequence, engine.taken()]).toEqual([undefined, 0, []]);
    expect(await speak(child, say(3 * PAGE))).toBe(2 * PAGE);
    expect(engine.mixups).toBe(0);
  });

  test('what the store may have kept for the parent’s record alone is not believed to be there for the child', async () => {
    for (const leave of ['delete', 'go on', 'close'] as const) {
      const { residency, tiers, speak } = makePlace();
      const [parent, child] = [new SessionKv(), new SessionKv()];
      await speak(parent, say(2 * PAGE));
      await residency.park(parent);
      await within('written', tiers.written());
      residency.fork(parent, child, say(2 * PAGE));
      const [first, second] = child.pages.map(({ key }) => key);
      if (leave === 'delete') residency.delete(parent);
      else if (leave === 'close') residency.drop(parent);
      else {
        await speak(parent, say(2 * PAGE, 2, PAGE));
        await residency.park(parent);
      }
      const here = { delete: [false, false], 'go on': [true, false], close: [true, true] }[leave];
      expect([tiers.isStored(first!), tiers.isStored(second!)]).toEqual(here);
    }
  });

  test('with nothing in common it takes no sequence', async () => {
    const { residency, engine, speak } = makePlace();
    const [parent, child] = [new SessionKv(), new SessionKv()];
    await speak(parent, say(PAGE));
    engine.taken();
    residency.fork(parent, child, say(0));
    expect([child.sequence, residency.tierOf(child), engine.taken()]).toEqual([undefined, 'none', []]);
  });

  test('of one that has left the device, it names the same pages', async () => {
    const { residency, engine, speak } = makePlace();
    const [parent, child] = [new SessionKv(), new SessionKv()];
    await speak(parent, say(2 * PAGE));
    await residency.park(parent);
    engine.taken();
    residency.fork(parent, child, say(2 * PAGE));
    expect([child.sequence, residency.tierOf(child), engine.taken()]).toEqual([undefined, 'ram', []]);
    residency.delete(parent);
    expect(await speak(child, say(2 * PAGE))).toBe(2 * PAGE);
  });

  test('what only the child has is copied when it is idle', async () => {
    const { residency, engine, speak } = makePlace();
    const [parent, child] = [new SessionKv(), new SessionKv()];
    await speak(parent, say(2 * PAGE));
    residency.fork(parent, child, say(PAGE + 20));
    engine.taken();
    residency.settle(Infinity);
    expect(engine.taken()).toEqual(['export 0 0-32', 'export 0 32-64', 'export 1 32-52']);
  });

  test('where KV is one piece, only all of it can be shared, and not on the device', async () => {
    const { residency, engine, speak } = makePlace({ pages: false });
    const [parent, child, other] = [new SessionKv(), new SessionKv(), new SessionKv()];
    await speak(parent, say(100));
    engine.taken();
    residency.fork(parent, child, say(99));
    expect([child.tokens.length, child.sequence]).toEqual([0, undefined]);
    residency.fork(parent, other, say(100));
    expect([other.tokens.length, other.sequence, engine.taken()]).toEqual([100, undefined, []]);
    await residency.park(parent);
    expect(await speak(other, say(120))).toBe(100);
    expect(engine.mixups).toBe(0);
  });
});

describe('cut', () => {
  test('on the device: what is beyond is gone, what is before stays', async () => {
    const { residency, engine, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(2 * PAGE));
    await residency.cut(a, say(PAGE + 3));
    expect([a.tokens, residency.tierOf(a)]).toEqual([say(PAGE + 3), 'device']);
    expect(await speak(a, say(2 * PAGE, 2, PAGE + 3))).toBe(PAGE + 3);
    await residency.park(a);
    expect(await speak(a, say(2 * PAGE, 2, PAGE + 3))).toBe(2 * PAGE);
    expect(engine.mixups).toBe(0);
  });

  test('elsewhere: the pages before it stay', async () => {
    const { residency, engine, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(3 * PAGE));
    await residency.park(a);
    engine.taken();
    await residency.cut(a, say(2 * PAGE + 20));
    expect([a.tokens, a.pages.length, engine.taken()]).toEqual([say(2 * PAGE), 2, []]);
    expect(await speak(a, say(3 * PAGE, 2, 2 * PAGE + 20))).toBe(2 * PAGE);
    await residency.park(a);
    await residency.cut(a, say(0));
    expect([a.tokens.length, residency.tierOf(a)]).toEqual([0, 'none']);
    expect(engine.mixups).toBe(0);
  });

  test('somebody else may park it meanwhile', async () => {
    const { residency, engine, speak } = makePlace({ sequences: 1 });
    const [a, b] = [new SessionKv(), new SessionKv()];
    await speak(a, say(3 * PAGE));
    const cutting = residency.cut(a, say(2 * PAGE));
    await speak(b, say(PAGE, 2));
    await cutting;
    expect(await speak(a, say(3 * PAGE, 3, 2 * PAGE))).toBe(2 * PAGE);
    expect(engine.mixups).toBe(0);
  });
});

describe('the end of a session', () => {
  test('drop() gives back its sequence and keeps its pages for whoever resumes it', async () => {
    const { residency, engine, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(2 * PAGE));
    await residency.park(a);
    await speak(a, say(2 * PAGE));
    engine.taken();
    let rooms = 0;
    residency.onRoom = () => rooms++;
    residency.drop(a);
    expect(engine.taken()).toEqual(['clear 0']);
    expect([a.sequence, residency.residentCount, residency.tierOf(a), rooms]).toEqual([undefined, 0, 'none', 1]);
    residency.drop(a);
    expect(engine.taken()).toEqual([]);
    const resumed = new SessionKv();
    residency.presume(resumed, say(2 * PAGE));
    expect(residency.tierOf(resumed)).toBe('ram');
    expect(await speak(resumed, say(2 * PAGE))).toBe(2 * PAGE);
  });

  test('delete() takes its pages out of RAM, but for those that another session names', async () => {
    const { residency, tiers, speak } = makePlace();
    const [a, b] = [new SessionKv(), new SessionKv()];
    await speak(a, say(3 * PAGE));
    await residency.park(a);
    await speak(b, say(2 * PAGE, 2, PAGE));
    await residency.park(b);
    const { pages } = a;
    residency.delete(a);
    expect(pages.map(({ key }) => tiers.locate(key))).toEqual(['ram', undefined, undefined]);
    const bytes = tiers.ramBytes;
    residency.delete(b);
    expect(tiers.locate(pages[0]!.key)).toBeUndefined();
    expect([bytes > 0, tiers.ramBytes]).toEqual([true, 0]);
  });

  test('delete() of one whose pages are on their way leaves none of them in RAM', async () => {
    const { residency, engine, tiers, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(2 * PAGE));
    engine.exports.close();
    const parking = residency.park(a);
    residency.delete(a);
    engine.exports.open();
    await parking;
    expect(tiers.ramBytes).toBe(0);
  });

  test('it remembers nothing of sessions that are gone', async () => {
    const { residency, tiers, store, speak } = makePlace();
    const a = new SessionKv();
    await speak(a, say(PAGE + 20));
    await residency.park(a);
    await until('written', () => store.pages.size === 2);
    await within('written', tiers.written());
    const [full, short] = a.pages.map(({ key }) => key);
    expect([tiers.isStored(full!), tiers.isStored(short!)]).toEqual([true, true]);
    await speak(a, say(2 * PAGE));
    await residency.park(a);
    expect([tiers.isStored(full!), tiers.isStored(short!)]).toEqual([true, false]);
    residency.drop(a);
    expect(tiers.isStored(full!)).toBe(false);
  });
});

describe('pages of a session that no turn runs in', () => {
  test('come from RAM or the store, else from the device, else from nowhere', async () => {
    const { residency, engine, speak } = makePlace();
    const [a, nothing] = [new SessionKv(), new SessionKv()];
    await speak(a, say(2 * PAGE + 20));
    engine.taken();
    const pages = residency.pagesOf(a);
    expect(pages).toEqual(residency.namesOf(say(2 * PAGE + 20)));
    const direct = await Promise.all(pages.map((page) => residency.read(a, page)));
    expect(engine.taken()).toEqual(['export 0 0-32', 'export 0 32-64', 'export 0 64-84']);
    await residency.park(a);
    engine.taken();
    expect(residency.pagesOf(a)).toEqual(pages);
    expect(await Promise.all(pages.map((page) => residency.read(a, page)))).toEqual(direct);
    expect(engine.taken()).toEqual([]);
    expect(await residency.read(nothing, residency.namesOf(say(PAGE, 7))[0]!)).toBeUndefined();
  });

  test('held ones are in RAM or the store: an import, or a record that names them', async () => {
    const { residency, tiers, store } = makePlace();
    const [imported, resumed] = [new SessionKv(), new SessionKv()];
    residency.hold(imported, say(PAGE, 1));
    expect(residency.tierOf(imported)).toBe('none');
    await tiers.add(imported.pages[0]!.key, Promise.resolve(new Uint8Array(5)));
    expect(residency.tierOf(imported)).toBe('ram');
    residency.presume(resumed, say(PAGE, 2));
    expect([residency.tierOf(resumed), store.calls]).toEqual(['store', []]);
  });
});
