import { describe, expect, test } from 'vitest';
import { all, random, same, text, weirdIds, type StoreUnderTest } from './store-values.js';

/** KV pages. */
export function pageTests(at: StoreUnderTest): void {
  describe('pages', () => {
    const key = 'ab'.repeat(32);

    test('a page that is not there is undefined', async () => {
      expect(await at.store.getPage?.(key)).toBeUndefined();
      if (at.store.deletePage !== undefined) expect(await at.store.deletePage(key)).toBe(false);
    });

    test.each([0, 1, 256, 5_000_000])('%i bytes come back as they were', async (length) => {
      if (at.store.putPage === undefined) return;
      const bytes = random(length);
      await at.store.putPage(key, bytes, { durability: 'always' });
      expect(same(await (await at.reopened()).getPage?.(key), bytes)).toBe(true);
    });

    test('parts are put together in order', async () => {
      if (at.store.putPage === undefined) return;
      await at.store.putPage(key, [text('head '), new Uint8Array(), text('and '), text('body')]);
      expect(Buffer.from((await at.store.getPage?.(key)) ?? []).toString()).toBe('head and body');
      await at.store.putPage(key, []);
      expect((await at.store.getPage?.(key))?.byteLength).toBe(0);
    });

    test('a page replaces the one of its key, and readers get one or the other', async () => {
      if (at.store.putPage === undefined) return;
      const pages = [1, 2].map((fill) => new Uint8Array(1_000_000).fill(fill));
      await at.store.putPage(key, pages[0] ?? []);
      const writes = Array.from({ length: 10 }, async (_, i) => at.store.putPage?.(key, pages[i % 2] ?? []));
      for (let i = 0; i < 10; i++) {
        const read = await at.store.getPage?.(key);
        expect(pages.some((page) => same(page, read))).toBe(true);
      }
      await Promise.all(writes);
    });

    test('bytes are copied on the way in and out', async () => {
      if (at.store.putPage === undefined) return;
      const given = Buffer.from([1, 2, 3]);
      await at.store.putPage(key, given);
      given.fill(9);
      (await at.store.getPage?.(key))?.fill(8);
      expect([...((await at.store.getPage?.(key)) ?? [])]).toEqual([1, 2, 3]);
    });

    test('deleted is gone', async () => {
      if (at.store.putPage === undefined) return;
      await at.store.putPage(key, text('x'));
      expect(await at.store.deletePage?.(key)).toBe(true);
      expect(await at.store.deletePage?.(key)).toBe(false);
      expect(await at.store.getPage?.(key)).toBeUndefined();
    });

    test.each(weirdIds())('key %j is a key like any other, and no record', async (weird) => {
      if (at.store.putPage === undefined) return;
      await at.store.putPage(weird, text('page'), { durability: 'everysec' });
      expect(Buffer.from((await at.store.getPage?.(weird)) ?? []).toString()).toBe('page');
      expect(await at.store.getRecord(weird)).toBeUndefined();
      expect(await all(at.store)).toEqual([]);
    });
  });
}
