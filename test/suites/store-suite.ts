import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SessionStore } from '../../lib/stores/store.js';
import { budgetTests } from './store-budget.js';
import { claimTests } from './store-claims.js';
import { conflictTests } from './store-conflicts.js';
import { listingTests } from './store-listing.js';
import { pageTests } from './store-pages.js';
import { recordTests } from './store-records.js';
import { plain, text, type StoreUnderTest } from './store-values.js';

/** How to get at the store under test. */
export interface StoreFixture {
  /** An empty store. @param pageBytes room for pages; the store's default where absent */
  open(pageBytes?: number): Promise<SessionStore>;
  /** Another one on the same data, as another process would open it; absent where nothing is shared. */
  reopen?(): Promise<SessionStore>;
  /** Whether `open` heeds its argument. */
  budget?: boolean;
  /** After the stores were closed. */
  clean?(): Promise<void>;
}

/** The contract of `SessionStore`. Every store runs it, yours too. */
export function storeSuite(name: string, fixture: StoreFixture): void {
  describe(`${name} keeps the contract of a store`, () => {
    const others: SessionStore[] = [];
    const at = {
      reopened: async () => {
        if (fixture.reopen === undefined) return at.store;
        const other = await fixture.reopen();
        others.push(other);
        return other;
      },
    } as StoreUnderTest;
    beforeEach(async () => {
      at.store = await fixture.open();
    });
    afterEach(async () => {
      for (const each of [at.store, ...others.splice(0)]) await each.close?.();
      await fixture.clean?.();
    });

    recordTests(at);
    conflictTests(at);
    listingTests(at);
    pageTests(at);
    if (fixture.budget === true) budgetTests(at, (pageBytes) => fixture.open(pageBytes));
    claimTests(at);

    describe('close', () => {
      test('is idempotent, and what was written is there afterwards', async () => {
        await at.store.putRecord('a', text('x'), { expected: 0, durability: 'everysec' });
        await at.store.close?.();
        await at.store.close?.();
        if (fixture.reopen === undefined) return;
        expect(plain(await (await at.reopened()).getRecord('a'))).toEqual({ version: 1, bytes: 'x' });
      });

      test('waits for what is in progress', async () => {
        const writes = Array.from({ length: 10 }, (_, i) => at.store.putRecord(String(i), text('x'), { expected: 0 }));
        let done = 0;
        for (const write of writes) void write.then(() => done++);
        await at.store.close?.();
        expect(done).toBe(10);
        expect(await Promise.all(writes)).toEqual(Array.from({ length: 10 }, () => 1));
      });
    });
  });
}
