import { describe, expect, test } from 'vitest';
import type { RecordFilter } from '../../lib/stores/store.js';
import { all, same, text, type StoreUnderTest } from './store-values.js';

/** All records. */
export function listingTests(at: StoreUnderTest): void {
  describe('listing', () => {
    const ids = ['b', 'a', 'user/2', 'user/10', 'user', 'Z', 'é', 'user/1'];
    const sorted = ['Z', 'a', 'b', 'user', 'user/1', 'user/10', 'user/2', 'é'];
    const fill = async (): Promise<void> => {
      for (const id of ids) await at.store.putRecord(id, text('bytes'), { expected: 0, info: text(`info of ${id}`) });
    };

    test('an empty store lists nothing', async () => {
      expect(await all(at.store)).toEqual([]);
    });

    test('all records in order of their ids', async () => {
      await fill();
      const listed = await all(await at.reopened());
      expect(listed.map((record) => record.id)).toEqual(sorted);
      for (const record of listed) {
        expect(new TextDecoder().decode(record.info)).toBe(`info of ${record.id}`);
        expect(record.version).toBe(1);
        expect(Object.keys(record).sort()).toEqual(['id', 'info', 'version']);
      }
    });

    test.each<[RecordFilter, string[]]>([
      [{ prefix: 'user/' }, ['user/1', 'user/10', 'user/2']],
      [{ prefix: 'nothing' }, []],
      [{ prefix: '' }, sorted],
      [{ after: 'b' }, ['user', 'user/1', 'user/10', 'user/2', 'é']],
      [{ after: 'bb' }, ['user', 'user/1', 'user/10', 'user/2', 'é']],
      [{ after: 'é' }, []],
      [{ limit: 2 }, ['Z', 'a']],
      [{ limit: 100 }, sorted],
      [{ prefix: 'user', after: 'user/1', limit: 1 }, ['user/10']],
    ])('%j', async (filter, expected) => {
      await fill();
      expect((await all(at.store, filter)).map((record) => record.id)).toEqual(expected);
    });

    test('page by page it is the same as at once', async () => {
      await fill();
      const paged: string[] = [];
      for (;;) {
        const after = paged.at(-1);
        const page = await all(at.store, after === undefined ? { limit: 3 } : { limit: 3, after });
        if (page.length === 0) break;
        paged.push(...page.map((record) => record.id));
      }
      expect(paged).toEqual(sorted);
    });

    test('each record once and in its newest version', async () => {
      await fill();
      await at.store.putRecord('a', text('newer'), { expected: 1, info: text('newer info'), expiresAt: 5 });
      const found = (await all(at.store)).filter((record) => record.id === 'a');
      expect(found).toMatchObject([{ version: 2, expiresAt: 5 }]);
      expect(same(found[0]?.info, text('newer info'))).toBe(true);
    });

    test('info is empty when it was written without, and of the last write only', async () => {
      await at.store.putRecord('a', text('x'), { expected: 0, info: text('first') });
      await at.store.putRecord('a', text('x'), { expected: 1 });
      expect((await all(at.store))[0]?.info).toEqual(new Uint8Array());
    });

    test('info is copied on the way in and out', async () => {
      const info = new Uint8Array([1, 2, 3]);
      await at.store.putRecord('a', text('x'), { expected: 0, info });
      info.fill(9);
      (await all(at.store))[0]?.info.fill(8);
      expect([...((await all(at.store))[0]?.info ?? [])]).toEqual([1, 2, 3]);
    });

    test('hundreds of records come whole, in order, and may be written on the way', async () => {
      const many = Array.from({ length: 700 }, (_, i) => `many/${String(i).padStart(3, '0')}`);
      await Promise.all(many.map((id) => at.store.putRecord(id, text(id), { expected: 0, durability: 'none' })));
      const seen: string[] = [];
      for await (const { id } of at.store.listRecords({ prefix: 'many/' })) {
        if (id === 'many/100') await at.store.putRecord(id, text('again'), { expected: 1 });
        seen.push(id);
      }
      expect(seen).toEqual(many);
      expect((await all(at.store, { prefix: 'many/', after: 'many/299', limit: 300 })).at(-1)?.id).toBe('many/599');
    });

    test('records may be deleted on the way', async () => {
      await fill();
      const seen: string[] = [];
      for await (const record of at.store.listRecords()) {
        seen.push(record.id);
        await at.store.deleteRecord(record.id);
      }
      expect(seen).toEqual(sorted);
      expect(await all(at.store)).toEqual([]);
    });

    test('a listing may be left early', async () => {
      await fill();
      for await (const record of at.store.listRecords()) {
        expect(record.id).toBe('Z');
        break;
      }
    });
  });

  describe('expired records', () => {
    const expired = async (now: number, limit = 100): Promise<string[] | undefined> =>
      (await at.reopened()).listExpired?.(now, limit);

    test('come in the order of their expiry, up to the moment itself', async () => {
      if (at.store.listExpired === undefined) return;
      const times = { c: 1000, a: 3000.5, b: -2, never: undefined, d: 0, e: 3001, f: 2 ** 41 };
      for (const [id, expiresAt] of Object.entries(times)) {
        await at.store.putRecord(id, text('x'), { expected: 0, ...(expiresAt === undefined ? {} : { expiresAt }) });
      }
      expect(await expired(3000.5)).toEqual(['b', 'd', 'c', 'a']);
      expect(await expired(3000.5, 2)).toEqual(['b', 'd']);
      expect(await expired(3000.4)).toEqual(['b', 'd', 'c']);
      expect(await expired(-3)).toEqual([]);
      expect(await expired(Infinity)).toEqual(['b', 'd', 'c', 'a', 'e', 'f']);
    });

    test('a write that moves the expiry or takes it away counts, and a delete', async () => {
      if (at.store.listExpired === undefined) return;
      for (const id of ['later', 'never', 'gone'])
        await at.store.putRecord(id, text('x'), { expected: 0, expiresAt: 1 });
      await at.store.putRecord('later', text('x'), { expected: 1, expiresAt: 50 });
      await at.store.putRecord('never', text('x'), { expected: 1 });
      await at.store.deleteRecord('gone');
      expect(await expired(10)).toEqual([]);
      expect(await expired(50)).toEqual(['later']);
    });
  });
}
