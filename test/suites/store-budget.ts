import { describe, expect, test } from 'vitest';
import type { SessionStore } from '../../lib/stores/store.js';
import { name, random, type StoreUnderTest } from './store-values.js';

/** What becomes of pages when there are too many. @param open an empty store with room for so many bytes */
export function budgetTests(at: StoreUnderTest, open: (pageBytes: number) => Promise<SessionStore>): void {
  describe('the budget of pages', () => {
    const pages = ['1', '2', '3', '4', '5'];
    // One after the other: being read is being used, and several connections keep no order.
    const stored = async (store: SessionStore): Promise<string[]> => {
      const found: string[] = [];
      for (const key of pages) if ((await store.getPage?.(key)) !== undefined) found.push(key);
      return found;
    };
    const opened = async (pageBytes: number): Promise<SessionStore> => {
      await at.store.close?.();
      at.store = await open(pageBytes);
      await name(at.store, 'a', ...pages);
      return at.store;
    };

    test('those used least recently go, and can be written again', async () => {
      const store = await opened(3000);
      for (const key of pages) expect(await store.putPage?.(key, random(1000))).toBe(true);
      expect(await stored(store)).toEqual(['3', '4', '5']);
      expect(await store.putPage?.('1', random(1000))).toBe(true);
      expect(await stored(store)).toEqual(['1', '4', '5']);
      expect(store.stats?.()).toMatchObject({ storedPages: 3, storedPageBytes: 3000, pageEvictions: 3 });
    });

    test('written all at once, no more stay than there is room for', async () => {
      const store = await opened(2500);
      await Promise.all(pages.map(async (key) => store.putPage?.(key, random(1000))));
      expect(await stored(store)).toHaveLength(2);
    });

    test('a page as large as the budget has room, a larger one is refused and drives out nobody', async () => {
      const store = await opened(1000);
      expect(await store.putPage?.('1', random(1000))).toBe(true);
      expect(await store.putPage?.('2', random(1001))).toBe(false);
      expect(await stored(store)).toEqual(['1']);
    });

    test('what is given up makes room', async () => {
      const store = await opened(2000);
      await store.putPage?.('1', random(1000));
      await store.putPage?.('2', random(1000));
      await store.deletePage?.('2');
      await store.putPage?.('3', random(1000));
      expect(await stored(store)).toEqual(['1', '3']);
      await name(store, 'a');
      expect(store.stats?.()).toMatchObject({ storedPages: 0, storedPageBytes: 0, pageEvictions: 0 });
    });
  });
}
