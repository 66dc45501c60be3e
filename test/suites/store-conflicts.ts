import { describe, expect, test } from 'vitest';
import type { SessionStore } from '../../lib/stores/store.js';
import { all, expectCode, expectCodeOf, name, plain, text, type StoreUnderTest } from './store-values.js';

/** Writers that compete. */
export function conflictTests(at: StoreUnderTest): void {
  describe('compare and set', () => {
    test.each([
      ['a new record where one is', 1, 0],
      ['a record that is not there', 0, 1],
      ['an older version', 3, 2],
      ['a version that is not there yet', 3, 4],
    ])('%s: SESSION_CONFLICT, and nothing changes', async (_, stored, expected) => {
      for (let version = 0; version < stored; version++) {
        await at.store.putRecord('a', text(`v${String(version + 1)}`), { expected: version });
      }
      const before = plain(await at.store.getRecord('a'));
      await expectCode(at.store.putRecord('a', text('wrong'), { expected }), 'SESSION_CONFLICT');
      expect(plain(await at.store.getRecord('a'))).toEqual(before);
    });

    test.each([
      ['an older version', 3, 2],
      ['a version that is not there yet', 3, 4],
      ['no record', 1, 0],
    ])('a delete that expects %s: SESSION_CONFLICT, and nothing changes', async (_, stored, expected) => {
      for (let version = 0; version < stored; version++) {
        await at.store.putRecord('a', text(`v${String(version + 1)}`), { expected: version, expiresAt: 5 });
      }
      await expectCode(at.store.deleteRecord('a', { expected }), 'SESSION_CONFLICT');
      const record = { version: stored, bytes: `v${String(stored)}`, expiresAt: 5 };
      expect(plain(await (await at.reopened()).getRecord('a'))).toEqual(record);
      expect((await all(at.store)).map(({ id }) => id)).toEqual(['a']);
    });

    test('a delete that expects the version that is stored takes it; where none is there is nothing to take', async () => {
      expect(await at.store.deleteRecord('a', { expected: 0 })).toBe(false);
      expect(await at.store.deleteRecord('a', { expected: 1 })).toBe(false);
      await at.store.putRecord('a', text('one'), { expected: 0 });
      await (await at.reopened()).putRecord('a', text('two'), { expected: 1 });
      expect(await at.store.deleteRecord('a', { expected: 2 })).toBe(true);
      expect(await at.store.deleteRecord('a', { expected: 2 })).toBe(false);
      expect(await (await at.reopened()).getRecord('a')).toBeUndefined();
    });

    test('a delete that conflicts gives up no page', async () => {
      await name(at.store, 'a', 'p');
      if ((await at.store.putPage?.('p', text('page'))) !== true) return;
      await expectCode(at.store.deleteRecord('a', { expected: 2 }), 'SESSION_CONFLICT');
      expect(await at.store.getPage?.('p')).toEqual(text('page'));
    });

    test('of a write and a delete of the same version exactly one happens', async () => {
      const other = await at.reopened();
      for (let round = 0; round < 8; round++) {
        const id = String(round);
        const expected = await at.store.putRecord(id, text('one'), { expected: 0 });
        const [written, deleted] = await Promise.allSettled(
          round % 2 === 0
            ? [at.store.putRecord(id, text('two'), { expected }), other.deleteRecord(id, { expected })]
            : [other.deleteRecord(id, { expected }), at.store.putRecord(id, text('two'), { expected })].reverse(),
        );
        expect([written?.status, deleted?.status].sort()).toEqual(['fulfilled', 'rejected']);
        for (const each of [written, deleted]) {
          if (each?.status === 'rejected') expectCodeOf(each.reason, 'SESSION_CONFLICT');
        }
        expect((await at.store.getRecord(id))?.version).toBe(
          written?.status === 'fulfilled' ? expected + 1 : undefined,
        );
      }
    });

    test('of two openers the slower one gets the conflict, and can go on after reading', async () => {
      await at.store.putRecord('a', text('one'), { expected: 0 });
      const other = await at.reopened();
      await other.putRecord('a', text('other'), { expected: 1 });
      await expectCode(at.store.putRecord('a', text('mine'), { expected: 1 }), 'SESSION_CONFLICT');
      const read = await at.store.getRecord('a');
      expect(await at.store.putRecord('a', text('mine'), { expected: read?.version ?? -1 })).toBe(3);
      expect(plain(await other.getRecord('a'))?.bytes).toBe('mine');
    });

    test('of many that write the same version at once exactly one wins', async () => {
      const stores = [at.store, await at.reopened(), await at.reopened()];
      for (let expected = 0; expected < 8; expected++) {
        const writes = Array.from({ length: 12 }, async (_, writer) => {
          const version = await stores[writer % 3]?.putRecord('a', text(`by ${String(writer)}`), { expected });
          return { version, writer };
        });
        const results = await Promise.allSettled(writes);
        const won = results.filter((result) => result.status === 'fulfilled').map((result) => result.value);
        expect(won).toHaveLength(1);
        expect(plain(await at.store.getRecord('a'))).toEqual({
          version: expected + 1,
          bytes: `by ${String(won[0]?.writer)}`,
        });
        for (const result of results) if (result.status === 'rejected') expectCodeOf(result.reason, 'SESSION_CONFLICT');
      }
    });

    test('counting with retries loses no count', async () => {
      const stores = [at.store, await at.reopened(), await at.reopened()];
      const increment = async (own: SessionStore): Promise<void> => {
        for (;;) {
          const record = await own.getRecord('counter');
          const next = text(String(Number(plain(record)?.bytes ?? 0) + 1));
          try {
            await own.putRecord('counter', next, { expected: record?.version ?? 0, durability: 'none' });
            return;
          } catch (error) {
            expectCodeOf(error, 'SESSION_CONFLICT');
          }
        }
      };
      await Promise.all(
        stores.map(async (own) => {
          for (let i = 0; i < 15; i++) await increment(own);
        }),
      );
      expect(plain(await at.store.getRecord('counter'))).toEqual({ version: 45, bytes: '45' });
    });

    test('readers see only whole versions, and never an older one than before', async () => {
      const other = await at.reopened();
      const writer = { busy: true };
      const reads = (async () => {
        let last = 0;
        while (writer.busy) {
          const record = await other.getRecord('a');
          if (record === undefined) continue;
          expect(record.version).toBeGreaterThanOrEqual(last);
          expect(plain(record)?.bytes).toBe(`${'x'.repeat(record.version)}.`);
          last = record.version;
        }
      })();
      for (let expected = 0; expected < 40; expected++) {
        await at.store.putRecord('a', text(`${'x'.repeat(expected + 1)}.`), { expected, durability: 'none' });
      }
      writer.busy = false;
      await reads;
    });
  });
}
