import { describe, expect, test } from 'vitest';
import { PageTiers } from '../../lib/tiers.js';
import { until, within } from '../support/deadline.js';
import { RecordStore } from '../support/page-store.js';
import { MiB, kv, makeTiers, page, stored } from '../support/tiers.js';

const [a, b, c] = [page('a'), page('b'), page('c')];

describe('RAM', () => {
  test('a page is there from when it is on its way', async () => {
    const { tiers } = makeTiers();
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
    const { tiers } = makeTiers();
    const added = tiers.add(a.key, Promise.reject(new Error('closed')));
    const asked = tiers.get(a);
    expect(await added).toBeUndefined();
    expect(await asked).toBeUndefined();
    expect(tiers.locate(a.key)).toBeUndefined();
    expect(tiers.counters).toMatchObject({ ramHits: 0, kvMisses: 0, storeFailures: 0 });
  });

  test('it knows what has never left this process', async () => {
    const { tiers } = makeTiers();
    await tiers.add(a.key, Promise.resolve(kv()), false);
    await tiers.add(b.key, Promise.resolve(kv()));
    expect([(await tiers.get(a))?.ours, (await tiers.get(b))?.ours]).toEqual([false, true]);
  });

  test('what its budget drops is counted, and nowhere', async () => {
    const { tiers } = makeTiers({ ramBytes: 25 });
    for (const { key } of [a, b, c]) await tiers.add(key, Promise.resolve(kv()));
    expect(tiers.locate(a.key)).toBeUndefined();
    expect([tiers.ramBytes, tiers.counters.ramEvictions]).toEqual([20, 1]);
  });

  test('what is forgotten is gone, also while it is on its way', async () => {
    const { tiers } = makeTiers();
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
    const { store, tiers } = makeTiers();
    store.pages.set(a.key, await stored(a));
    store.reads.close();
    const asked = [tiers.get(a), tiers.get(a)];
    await until('the store is asked', () => store.reads.waiting > 0);
    expect(tiers.locate(a.key)).toBeUndefined(); // the store may not have it
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
    const { tiers } = makeTiers();
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
    const { store, tiers } = makeTiers();
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
    const { store, tiers } = makeTiers();
    store.pages.set(a.key, await damage(await stored(a)));
    tiers.presume([a]);
    expect(await tiers.get(a)).toBeUndefined();
    expect(store.calls).toEqual([`get ${a.key}`, `delete ${a.key}`]);
    expect(store.pages.has(a.key)).toBe(false);
    expect(tiers.locate(a.key)).toBeUndefined();
    expect(tiers.counters).toMatchObject({ kvMisses: 1, storeHits: 0, storeFailures: 0 });
  });

  test('a discarded page leaves RAM as well; a store that can not delete is no matter', async () => {
    const { store, tiers } = makeTiers();
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
