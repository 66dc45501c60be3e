import { describe, expect, test } from 'vitest';
import type { RecordFilter } from '../../lib/stores/store.js';
import { all, plain, text, type StoreUnderTest } from './store-values.js';

/** All records. */
export function listingTests(at: StoreUnderTest): void {
  describe('listing', () => {
    const ids = ['b', 'a', 'user/2', 'user/10', 'user', 'Z', 'é', 'user/1'];
    const sorted = ['Z', 'a', 'b', 'user', 'user/1', 'user/10', 'user/2', 'é'];
    const fill = async (): Promise<void> => {
      for (const id of ids) await at.store.putRecord(id, text(`bytes of ${id}`), { expected: 0 });
    };

    test('an empty store lists nothing', async () => {
      expect(await all(at.store)).toEqual([]);
    });

    test('all records in order of their ids', async () => {
      await fill();
      const listed = await all(await at.reopened());
      expect(listed.map((record) => record.id)).toEqual(sorted);
      for (const record of listed) {
        expect(plain(record)?.bytes).toBe(`bytes of ${record.id}`);
        expect(record.version).toBe(1);
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
      await at.store.putRecord('a', text('newer'), { expected: 1 });
      const found = (await all(at.store)).filter((record) => record.id === 'a');
      expect(found.map(plain)).toEqual([{ version: 2, bytes: 'newer' }]);
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
}
