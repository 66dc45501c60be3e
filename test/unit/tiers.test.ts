import { describe, expect, test } from 'vitest';
import { pageHeader } from '../../lib/page.js';
import type { Page } from '../../lib/pages.js';
import { PageTiers } from '../../lib/tiers.js';
import { refusal, until, within } from '../support/deadline.js';
import { PageStore, RecordStore } from '../support/page-store.js';
import { tick } from '../support/turns.js';

const MiB = 2 ** 20;
const page = (name: string): Page => ({ key: name.repeat(64), from: 0, to: 16 });
const [a, b, c, d] = [page('a'), page('b'), page('c'), page('d')];
const kv = (bytes = 10, value = 1): Uint8Array => new Uint8Array(bytes).fill(value);
/** What a store would have kept of it. */
const stored = async ({ key }: Page, bytes = kv()): Promise<Uint8Array> =>
  Buffer.concat([await pageHeader(key, bytes), bytes]);

function setup({ ramBytes = MiB } = {}): { store: PageStore; tiers: PageTiers } {
  const store = new PageStore();
  return { store, tiers: new PageTiers(store, ramBytes) };
}

describe('RAM', () => {
  test('a page is there from when it is on its way', async () => {
    const { tiers } = setup();
    let arrive: (bytes: Uint8Array) => void = () => undefined;
    const added = tiers.add(a.key, new Promise<Uint8Array>((resolve) => (arrive = resolve)));
    expect(tiers.locate(a.key)).toBe('ram');
    expect(tiers.ramBytes).toBe(0);
    const asked = [tiers.get(a), tiers.get(a)];
    arrive(kv());
    const expected = { kv: kv(), tier: 'ram', ours: true };
    expect([await added, ...(await Promise.all(asked))]).toEqual([expected, expected, expected]);
    expect(tiers.ramBytes).toBe(10);
    expect(tiers.counters).toMatchObject({ ramHits: 2, ramHitBytes: 20, storeHits: 0, kvMisses: 0 });
  });

  test('what can not be had from the device is nowhere, and nobody is told off', async () => {
    const { tiers } = setup();
    const added = tiers.add(a.key, Promise.reject(new Error('closed')));
    const asked = tiers.get(a);
    expect(await added).toBeUndefined();
    expect(await asked).toBeUndefined();
    expect(tiers.locate(a.key)).toBeUndefined();
    expect(tiers.counters).toMatchObject({ ramHits: 0, kvMisses: 0, storeFailures: 0 });
  });

  test('it knows what has never left this process', async () => {
    const { tiers } = setup();
    await tiers.add(a.key, Promise.resolve(kv()), false);
    await tiers.add(b.key, Promise.resolve(kv()));
    expect([(await tiers.get(a))?.ours, (await tiers.get(b))?.ours]).toEqual([false, true]);
  });

  test('what its budget drops is counted, and nowhere', async () => {
    const { tiers } = setup({ ramBytes: 25 });
    for (const { key } of [a, b, c]) await tiers.add(key, Promise.resolve(kv()));
    expect(tiers.locate(a.key)).toBeUndefined();
    expect([tiers.ramBytes, tiers.counters.ramEvictions]).toEqual([20, 1]);
  });

  test('what is forgotten is gone, also while it is on its way', async () => {
    const { tiers } = setup();
    await tiers.add(a.key, Promise.resolve(kv()));
    tiers.forget([a.key, b.key]);
    expect([tiers.locate(a.key), tiers.ramBytes, await tiers.get(a)]).toEqual([undefined, 0, undefined]);
    const added = tiers.add(c.key, Promise.resolve(kv()));
    tiers.forget([c.key]);
    await added;
    expect([tiers.locate(c.key), tiers.ramBytes]).toEqual([undefined, 0]);
  });
});

describe('reading the store', () => {
  test('a page comes into RAM; two who ask at the same time read it once', async () => {
    const { store, tiers } = setup();
    store.pages.set(a.key, await stored(a));
    store.reads.close();
    const asked = [tiers.get(a), tiers.get(a)];
    await until('the store is asked', () => store.reads.waiting > 0);
    expect(tiers.locate(a.key)).toBe('ram');
    store.reads.open();
    for (const found of await Promise.all(asked)) {
      expect(found).toEqual({ kv: Buffer.from(kv()), tier: 'store', ours: false });
    }
    expect(await tiers.get(a)).toMatchObject({ tier: 'ram', ours: false });
    expect(store.calls).toEqual([`get ${a.key}`]);
    expect(tiers.isStored(a.key)).toBe(true);
    expect(tiers.counters).toMatchObject({ ramHits: 1, ramHitBytes: 10, kvMisses: 0 });
    expect(tiers.counters.storeHits).toBeGreaterThan(0);
    expect(tiers.counters.storeHitBytes).toBe(10 * tiers.counters.storeHits);
    expect(tiers.counters.storeReadMs).toBeGreaterThan(0);
  });

  test('what is not there is a miss when it was expected, and not asked for by its name again', async () => {
    const { tiers } = setup();
    expect(await tiers.get(a)).toBeUndefined();
    expect(tiers.counters.kvMisses).toBe(0);
    tiers.presume([a, b]);
    expect([tiers.locate(a.key), tiers.locate(b.key), tiers.locate(c.key)]).toEqual(['store', 'store', undefined]);
    expect(await tiers.get(a)).toBeUndefined();
    expect(tiers.counters.kvMisses).toBe(1);
    expect([tiers.locate(a.key), tiers.locate(b.key)]).toEqual([undefined, 'store']);
  });

  test('a store without pages has none, and is not asked', async () => {
    const tiers = new PageTiers(new RecordStore(), MiB);
    expect(tiers.keepsPages).toBe(false);
    tiers.presume([a]);
    expect(tiers.locate(a.key)).toBeUndefined();
    expect(await tiers.get(a)).toBeUndefined();
    tiers.writeBehind(a.key, kv());
    await tiers.save(a, kv(), 'always');
    await within('nothing to write', tiers.written());
    expect(tiers.isStored(a.key)).toBe(false);
    expect(tiers.counters).toMatchObject({ storeFailures: 0, storeWrites: 0, kvMisses: 0 });
  });

  test('one that fails is counted, and the page is nowhere', async () => {
    const { store, tiers } = setup();
    store.fails = true;
    tiers.presume([a]);
    expect(await tiers.get(a)).toBeUndefined();
    expect(tiers.locate(a.key)).toBeUndefined();
    expect(tiers.counters).toMatchObject({ storeFailures: 1, storeHits: 0 });
  });

  test.each<[string, (good: Uint8Array) => Uint8Array | Promise<Uint8Array>]>([
    ['damaged', (good) => Uint8Array.from(good).fill(9, -1)],
    ['cut off', (good) => good.subarray(0, -1)],
    ['empty', () => new Uint8Array()],
    ['foreign', () => stored(b)],
  ])('a page that is %s is a miss and discarded', async (_, damage) => {
    const { store, tiers } = setup();
    store.pages.set(a.key, await damage(await stored(a)));
    tiers.presume([a]);
    expect(await tiers.get(a)).toBeUndefined();
    expect(store.calls).toEqual([`get ${a.key}`, `delete ${a.key}`]);
    expect(store.pages.has(a.key)).toBe(false);
    expect(tiers.locate(a.key)).toBeUndefined();
    expect(tiers.counters).toMatchObject({ kvMisses: 1, storeHits: 0, storeFailures: 0 });
  });

  test('a discarded page leaves RAM as well; a store that can not delete is no matter', async () => {
    const { store, tiers } = setup();
    await tiers.add(a.key, Promise.resolve(kv()));
    store.fails = true;
    await tiers.discard(a.key);
    expect([tiers.locate(a.key), tiers.ramBytes]).toEqual([undefined, 0]);
    expect(tiers.counters).toMatchObject({ kvMisses: 1, storeFailures: 1 });
    const unable = new PageTiers(new RecordStore(), MiB);
    await unable.discard(a.key);
    expect(unable.counters).toMatchObject({ kvMisses: 1, storeFailures: 0 });
  });
});

describe('writing the store, behind', () => {
  test('in order, two at a time; written() settles after the last', async () => {
    const { store, tiers } = setup();
    await within('nothing to write', tiers.written());
    store.writes.close();
    for (const { key } of [a, b, c, d]) tiers.writeBehind(key, kv());
    tiers.writeBehind(a.key, kv());
    let written = 0;
    void tiers.written().then(() => written++);
    void tiers.written().then(() => written++);
    await until('two are being written', () => store.writes.waiting === 2);
    await tick();
    expect(store.calls).toEqual([`put ${a.key} none`, `put ${b.key} none`]);
    expect([tiers.locate(a.key), tiers.isStored(a.key)]).toEqual(['ram', false]);
    store.writes.step();
    await until('the next is being written', () => store.calls.length === 3);
    expect([tiers.locate(a.key), tiers.isStored(a.key)]).toEqual(['store', true]);
    expect(written).toBe(0);
    store.writes.open();
    await until('all are written', () => written === 2);
    expect(store.calls).toEqual([a, b, c, d].map(({ key }) => `put ${key} none`));
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
    const { store, tiers } = setup({ ramBytes: 10 });
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

  test('but not more than 64 MiB of it: then the oldest that is not being written is lost', async () => {
    const { store, tiers } = setup({ ramBytes: 0 });
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

  test('what RAM still has does not count, and is not lost for it', async () => {
    const { store, tiers } = setup({ ramBytes: 20 * MiB });
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
    const { store, tiers } = setup({ ramBytes: 16 * MiB });
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
    const { store, tiers } = setup();
    store.writes.close();
    for (const { key } of [a, b, c]) tiers.writeBehind(key, kv());
    tiers.forget([c.key]);
    store.writes.open();
    await within('written', tiers.written());
    expect(store.pages.has(c.key)).toBe(false);
  });

  test('what the store refuses or can not write is not there, and disturbs nobody', async () => {
    const { store, tiers } = setup();
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
    const { store, tiers } = setup();
    await tiers.save(a, kv(), 'always');
    await tiers.save(a, kv(), 'always');
    await tiers.save(b, kv(), 'everysec');
    expect(store.calls).toEqual([`put ${a.key} always`, `put ${b.key} everysec`]);
    expect(store.pages.get(a.key)).toEqual(await stored(a));
    expect([tiers.isStored(a.key), tiers.counters.storeWrites]).toEqual([true, 2]);
  });

  test('what is being written behind, and what waits for it, is written once', async () => {
    const { store, tiers } = setup();
    store.writes.close();
    for (const { key } of [a, b, c]) tiers.writeBehind(key, kv());
    await until('two are being written', () => store.writes.waiting === 2);
    const saved = Promise.all([tiers.save(a, kv(), 'always'), tiers.save(c, kv(), 'always')]);
    await until('what waited is being written', () => store.writes.waiting === 3);
    store.writes.open();
    await within('saving', saved);
    await within('the rest', tiers.written());
    expect(store.calls).toEqual([`put ${a.key} none`, `put ${b.key} none`, `put ${c.key} always`]);
    expect(tiers.counters.storeWrites).toBe(3);
  });

  test('what could not be written behind is written now', async () => {
    const { store, tiers } = setup();
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
    const { store, tiers } = setup();
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
