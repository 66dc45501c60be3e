import { describe, expect, test } from 'vitest';
import { refusal, until, within } from '../support/deadline.js';
import { MiB, kv, makeTiers, page, stored } from '../support/tiers.js';
import { tick } from '../support/turns.js';

const [a, b, c, d] = [page('a'), page('b'), page('c'), page('d')];

describe('writing the store, behind', () => {
  test('in order, two at a time; written() settles after the last', async () => {
    const { store, tiers } = makeTiers();
    await within('nothing to write', tiers.written());
    store.writes.close();
    for (const { key } of [a, b, c, d]) tiers.writeBehind(key, kv());
    tiers.writeBehind(a.key, kv());
    let written = 0;
    void tiers.written().then(() => written++);
    void tiers.written().then(() => written++);
    await until('two are being written', () => store.writes.waiting === 2);
    await tick();
    // Hashed side by side: either may be first.
    expect(store.calls.toSorted()).toEqual([`put ${a.key} none`, `put ${b.key} none`]);
    const first = store.calls[0] === `put ${a.key} none` ? a.key : b.key;
    expect([tiers.locate(first), tiers.isStored(first)]).toEqual(['ram', false]);
    store.writes.step();
    await until('the next is being written', () => store.calls.length === 3);
    expect([tiers.locate(first), tiers.isStored(first)]).toEqual(['store', true]);
    expect(written).toBe(0);
    store.writes.open();
    await until('all are written', () => written === 2);
    expect(store.calls.toSorted()).toEqual([a, b, c, d].map(({ key }) => `put ${key} none`));
    expect(store.pages.get(d.key)).toEqual(await stored(d));
    const bytes = [...store.pages.values()].reduce((sum, each) => sum + each.byteLength, 0);
    expect(tiers.counters).toMatchObject({ storeWrites: 4, storeWriteBytes: bytes });
    tiers.writeBehind(a.key, kv());
    expect(store.calls).toHaveLength(4);
    tiers.writeBehind(page('e').key, kv());
    await within('a later one', tiers.written());
    expect(store.calls).toHaveLength(5);
  });

  test('what RAM gives up before it is written can be read all the same', async () => {
    const { store, tiers } = makeTiers({ ramBytes: 10 });
    store.writes.close();
    await tiers.add(a.key, Promise.resolve(kv(10, 7)));
    tiers.writeBehind(a.key, kv(10, 7));
    await until('it is being written', () => store.writes.waiting === 1);
    await tiers.add(b.key, Promise.resolve(kv()));
    expect(tiers.counters.ramEvictions).toBe(1);
    expect(await tiers.get(a)).toEqual({ kv: kv(10, 7), tier: 'ram', ours: true });
    expect(store.calls).toEqual([`put ${a.key} none`]);
    store.writes.open();
    await within('written', tiers.written());
    expect(tiers.locate(a.key)).toBe('store');
  });

  test('what came from outside is not trusted more for it', async () => {
    const { store, tiers } = makeTiers({ ramBytes: 10 });
    store.writes.close();
    await tiers.add(a.key, Promise.resolve(kv(10, 7)), false);
    tiers.writeBehind(a.key);
    await until('it is being written', () => store.writes.waiting === 1);
    await tiers.add(b.key, Promise.resolve(kv()));
    expect(await tiers.get(a)).toEqual({ kv: kv(10, 7), tier: 'ram', ours: false });
    store.writes.open();
    await within('written', tiers.written());
  });

  test('but not more than 64 MiB of it: then the oldest that is not being written is lost', async () => {
    const { store, tiers } = makeTiers({ ramBytes: 0 });
    store.writes.close();
    const names = ['a', 'b', 'c', 'd', 'e'].map(page);
    const large = kv(16 * MiB);
    for (const { key } of names.slice(0, 4)) tiers.writeBehind(key, large);
    expect(names.map(({ key }) => tiers.locate(key))).toEqual(['ram', 'ram', 'ram', 'ram', undefined]);
    tiers.writeBehind(names[4]!.key, kv(1));
    // The first two are on their way.
    expect(names.map(({ key }) => tiers.locate(key))).toEqual(['ram', 'ram', undefined, 'ram', 'ram']);
    store.writes.open();
    await within('written', tiers.written());
    expect([...store.pages.keys()].sort()).toEqual(['a', 'b', 'd', 'e'].map((name) => page(name).key));
    // Room that was given back can be used again.
    store.writes.close();
    for (const name of ['f', 'g', 'h', 'i']) tiers.writeBehind(page(name).key, large);
    expect(['f', 'g', 'h', 'i'].map((name) => tiers.locate(page(name).key))).toEqual(['ram', 'ram', 'ram', 'ram']);
    store.writes.open();
    await within('written', tiers.written());
  });

  test('nor of what waits for its record, which is written once that is there', async () => {
    const { store, tiers } = makeTiers({ ramBytes: 0 });
    const names = ['a', 'b', 'c', 'd', 'e'].map(page);
    let onRecorded: () => void = () => undefined;
    const recorded = new Promise<void>((resolve) => (onRecorded = resolve));
    for (const { key } of names) tiers.writeBehind(key, kv(16 * MiB), recorded);
    expect(names.map(({ key }) => tiers.locate(key))).toEqual([undefined, 'ram', 'ram', 'ram', 'ram']);
    tiers.writeBehind(page('f').key, kv());
    await until('others are written', () => store.pages.size === 1);
    let written = false;
    void tiers.written().then(() => (written = true));
    await tick();
    expect(written).toBe(false);
    onRecorded();
    await until('all are written', () => written);
    expect([...store.pages.keys()].sort()).toEqual(['c', 'd', 'e', 'f'].map((name) => page(name).key));
  });

  test('what RAM still has does not count, and is not lost for it', async () => {
    const { store, tiers } = makeTiers({ ramBytes: 20 * MiB });
    store.writes.close();
    const waits = page('e');
    for (const { key } of [a, b, waits]) tiers.writeBehind(key, kv(21 * MiB));
    await tiers.add(c.key, Promise.resolve(kv(16 * MiB)));
    tiers.writeBehind(c.key);
    // Given up once more, it is held once.
    await tiers.add(a.key, Promise.resolve(kv(21 * MiB)));
    expect([a, b, waits, c].map(({ key }) => tiers.locate(key))).toEqual(['ram', 'ram', 'ram', 'ram']);
    tiers.writeBehind(d.key, kv(21 * MiB));
    store.writes.open();
    await within('written', tiers.written());
    expect([...store.pages.keys()].sort()).toEqual([a.key, b.key, c.key, d.key]);
  });

  test('what RAM gives up later counts from then on', async () => {
    const { store, tiers } = makeTiers({ ramBytes: 16 * MiB });
    store.writes.close();
    const names = ['a', 'b', 'c', 'd', 'e', 'f'].map(page);
    for (const { key } of names) {
      await tiers.add(key, Promise.resolve(kv(16 * MiB)));
      tiers.writeBehind(key);
    }
    expect(names.map(({ key }) => tiers.locate(key))).toEqual(['ram', 'ram', undefined, 'ram', 'ram', 'ram']);
    store.writes.open();
    await within('written', tiers.written());
    expect(store.pages.size).toBe(5);
  });

  test('what is forgotten is not written any more', async () => {
    const { store, tiers } = makeTiers();
    store.writes.close();
    for (const { key } of [a, b, c]) tiers.writeBehind(key, kv());
    tiers.forget([c.key]);
    store.writes.open();
    await within('written', tiers.written());
    expect(store.pages.has(c.key)).toBe(false);
  });

  test('what the store refuses or can not write is not there, and disturbs nobody', async () => {
    const { store, tiers } = makeTiers();
    store.refuses = true;
    tiers.writeBehind(a.key, kv());
    await within('written', tiers.written());
    expect(tiers.counters).toMatchObject({ storeFailures: 0, storeWrites: 0, storeWriteBytes: 0 });
    store.fails = true;
    for (const { key } of [b, c, d]) tiers.writeBehind(key, kv());
    await within('written', tiers.written());
    expect([a, b, c, d].map(({ key }) => tiers.locate(key))).toEqual([undefined, undefined, undefined, undefined]);
    expect(tiers.counters).toMatchObject({ storeFailures: 3, storeWrites: 0 });
  });
});

describe('save()', () => {
  test('writes at once, as durably as is asked for, what the store has not', async () => {
    const { store, tiers } = makeTiers();
    await tiers.save(a, kv(), 'always');
    await tiers.save(a, kv(), 'always');
    await tiers.save(b, kv(), 'everysec');
    expect(store.calls).toEqual([`put ${a.key} always`, `put ${b.key} everysec`]);
    expect(store.pages.get(a.key)).toEqual(await stored(a));
    expect([tiers.isStored(a.key), tiers.counters.storeWrites]).toEqual([true, 2]);
  });

  test('what is being written behind is made as durable afterwards; what waits for it is written once', async () => {
    const { store, tiers } = makeTiers();
    store.writes.close();
    for (const { key } of [a, b, c]) tiers.writeBehind(key, kv());
    await until('two are being written', () => store.writes.waiting === 2);
    const saved = Promise.all([tiers.save(a, kv(), 'always'), tiers.save(c, kv(), 'always')]);
    await until('what waited is being written', () => store.writes.waiting === 3);
    store.writes.open();
    await within('saving', saved);
    await within('the rest', tiers.written());
    expect(store.calls.slice(0, 2).toSorted()).toEqual([`put ${a.key} none`, `put ${b.key} none`]);
    expect(store.calls.slice(2).toSorted()).toEqual([`put ${a.key} always`, `put ${c.key} always`]);
    expect(tiers.counters.storeWrites).toBe(3);
  });

  test('what was written behind is made as durable as is asked for, once, and counts once', async () => {
    const { store, tiers } = makeTiers();
    tiers.writeBehind(a.key, kv());
    await within('writing', tiers.written());
    await tiers.save(a, kv(), 'none');
    expect(store.calls).toEqual([`put ${a.key} none`]);
    await tiers.save(a, kv(), 'always');
    await tiers.save(a, kv(), 'always');
    expect(store.calls).toEqual([`put ${a.key} none`, `put ${a.key} always`]);
    expect(tiers.counters.storeWrites).toBe(1);
  });

  test('of a page that no session names any more when it is written, nothing is remembered', async () => {
    const { store, tiers } = makeTiers();
    store.writes.close();
    tiers.writeBehind(a.key, kv());
    await until('it is being written', () => store.writes.waiting === 1);
    tiers.isNamed = () => false; // its session was closed
    tiers.unname(a.key);
    store.writes.open();
    await within('writing', tiers.written());
    expect([store.pages.has(a.key), tiers.isStored(a.key)]).toEqual([true, false]);
  });

  test('what could not be written behind is written now', async () => {
    const { store, tiers } = makeTiers();
    store.writes.close();
    store.fails = true;
    tiers.writeBehind(a.key, kv());
    await until('it is being written', () => store.writes.waiting === 1);
    const saved = tiers.save(a, kv(), 'always');
    await tick();
    store.fails = false;
    store.writes.open();
    await within('saving', saved);
    expect(tiers.isStored(a.key)).toBe(true);
  });

  test('throws what the store throws', async () => {
    const { store, tiers } = makeTiers();
    store.fails = true;
    expect(await refusal('saving', () => tiers.save(a, kv(), 'always'))).toMatchObject({ code: 'STORE_FAILED' });
    expect(tiers.counters.storeFailures).toBe(1);
    expect(tiers.isStored(a.key)).toBe(false);
    store.fails = false;
    store.refuses = true;
    await tiers.save(a, kv(), 'always');
    expect(tiers.isStored(a.key)).toBe(false);
  });
});
