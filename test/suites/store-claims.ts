import { describe, expect, test } from 'vitest';
import { expectCode, plain, text, weirdIds, type StoreUnderTest } from './store-values.js';

/** Who may write a session. A store without claims passes, and one that nothing else shares. */
export function claimTests(at: StoreUnderTest): void {
  describe('claims', () => {
    const conflicts = (work: Promise<unknown> | undefined): Promise<void> =>
      expectCode(work ?? Promise.resolve(), 'SESSION_CONFLICT');

    test('only who has claimed it writes a session', async () => {
      const other = await at.reopened();
      if (at.store.claim === undefined || other === at.store) return;
      await at.store.putRecord('a', text('one'), { expected: 0 });
      await at.store.claim('a', false);
      await conflicts(other.putRecord('a', text('other'), { expected: 1 }));
      await conflicts(other.claim?.('a', false));
      expect(plain(await other.getRecord('a'))).toEqual({ version: 1, bytes: 'one' });
      expect(await at.store.putRecord('a', text('two'), { expected: 1 })).toBe(2);
      expect(await other.putRecord('b', text('another'), { expected: 0 })).toBe(1);
    });

    test('only who has claimed it deletes the version that he has read', async () => {
      const other = await at.reopened();
      if (at.store.claim === undefined || other === at.store) return;
      await at.store.putRecord('a', text('one'), { expected: 0, expiresAt: 5 });
      await other.claim?.('a', true);
      await conflicts(at.store.deleteRecord('a', { expected: 1 }));
      expect(plain(await other.getRecord('a'))).toEqual({ version: 1, bytes: 'one', expiresAt: 5 });
      // Nothing to take is no conflict; and who doesn't say what he has read is not asked.
      expect(await at.store.deleteRecord('b', { expected: 1 })).toBe(false);
      expect(await other.deleteRecord('a', { expected: 1 })).toBe(true);
      expect(await at.store.deleteRecord('a', { expected: 1 })).toBe(false);
      await other.putRecord('a', text('new'), { expected: 0 });
      expect(await at.store.deleteRecord('a')).toBe(true);
    });

    test('a claim comes before the record', async () => {
      const other = await at.reopened();
      if (at.store.claim === undefined || other === at.store) return;
      await at.store.claim('new', false);
      await conflicts(other.putRecord('new', text('x'), { expected: 0 }));
      expect(await at.store.putRecord('new', text('x'), { expected: 0 })).toBe(1);
    });

    test('it is idempotent, and released at once', async () => {
      const other = await at.reopened();
      if (at.store.claim === undefined || other === at.store) return;
      await at.store.claim('a', false);
      await at.store.claim('a', false);
      await at.store.release?.('a');
      await at.store.release?.('a');
      await other.claim?.('a', false);
      await conflicts(at.store.putRecord('a', text('x'), { expected: 0 }));
    });

    test('taken over, it is the other one who conflicts', async () => {
      const other = await at.reopened();
      if (at.store.claim === undefined || other === at.store) return;
      await at.store.claim('a', false);
      await other.claim?.('a', true);
      await conflicts(at.store.putRecord('a', text('x'), { expected: 0 }));
      // What it has lost it can't release.
      await at.store.release?.('a');
      await conflicts(at.store.putRecord('a', text('x'), { expected: 0 }));
      expect(await other.putRecord('a', text('x'), { expected: 0 })).toBe(1);
    });

    test('close() lets go of all, and of one that was claimed again', async () => {
      const other = await at.reopened();
      if (at.store.claim === undefined || other === at.store) return;
      for (const id of ['a', 'b', 'c']) await at.store.claim(id, false);
      await at.store.release?.('b');
      await at.store.claim('b', false);
      await at.store.close?.();
      for (const id of ['a', 'b', 'c']) await other.putRecord(id, text('x'), { expected: 0 });
    });

    test('of many that claim at once exactly one has it', async () => {
      const stores = [at.store, await at.reopened(), await at.reopened(), await at.reopened()];
      if (at.store.claim === undefined || stores[1] === at.store) return;
      const results = await Promise.allSettled(stores.map(async (store) => store.claim?.('a', false)));
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    });

    test.each(weirdIds())('id %j can be claimed like any other', async (id) => {
      const other = await at.reopened();
      if (at.store.claim === undefined || other === at.store) return;
      await at.store.claim(id, false);
      await conflicts(other.claim?.(id, false));
      await other.claim?.(`${id.slice(0, 200)}x`, false);
    });
  });
}
