import { describe, expect, test } from 'vitest';
import { all, name, random, same, text, weirdIds, type StoreUnderTest } from './store-values.js';

/** KV pages. A store without them passes. */
export function pageTests(at: StoreUnderTest): void {
  const read = async (key: string): Promise<string | undefined> => {
    const page = await at.store.getPage?.(key);
    return page && Buffer.from(page).toString();
  };
  const put = async (key: string, content = key): Promise<boolean | undefined> =>
    at.store.putPage?.(key, text(content));

  describe('pages', () => {
    const key = 'ab'.repeat(32);

    test('a page that is not there is undefined', async () => {
      expect(await at.store.getPage?.(key)).toBeUndefined();
      if (at.store.deletePage !== undefined) expect(await at.store.deletePage(key)).toBe(false);
    });

    test.each([0, 1, 256, 5_000_000])('%i bytes come back as they were', async (length) => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', key);
      const bytes = random(length);
      expect(await at.store.putPage(key, bytes, { durability: 'always' })).toBe(true);
      expect(same(await (await at.reopened()).getPage?.(key), bytes)).toBe(true);
    });

    test('parts are put together in order', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', key, 'empty');
      await at.store.putPage(key, [text('head '), new Uint8Array(), text('and '), text('body')]);
      expect(await read(key)).toBe('head and body');
      await at.store.putPage('empty', []);
      expect(await read('empty')).toBe('');
    });

    test('what is stored already is not written again', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', key);
      expect(await put(key, 'first')).toBe(true);
      expect(await put(key, 'second')).toBe(true);
      expect(await read(key)).toBe('first');
    });

    test('of many that write one page at once all succeed, and each can read it at once', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', key);
      const stores = [at.store, await at.reopened(), await at.reopened()];
      const page = random(300_000);
      const writes = Array.from({ length: 12 }, async (_, i) => {
        const own = stores[i % 3];
        expect(await own?.putPage?.(key, page)).toBe(true);
        expect(same(await own?.getPage?.(key), page)).toBe(true);
      });
      await Promise.all(writes);
    });

    test('bytes are copied on the way in and out', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', key);
      const given = Buffer.from([1, 2, 3]);
      await at.store.putPage(key, given);
      given.fill(9);
      (await at.store.getPage?.(key))?.fill(8);
      expect([...((await at.store.getPage?.(key)) ?? [])]).toEqual([1, 2, 3]);
    });

    test('deleted is gone, and can be written again, as records go on naming it', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', key);
      await put(key, 'damaged');
      expect(await at.store.deletePage?.(key)).toBe(true);
      expect(await at.store.deletePage?.(key)).toBe(false);
      expect(await read(key)).toBeUndefined();
      expect(await put(key, 'sound')).toBe(true);
      expect(await read(key)).toBe('sound');
    });

    test.each(weirdIds())('key %j is a key like any other, and no record', async (weird) => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', weird);
      expect(await at.store.putPage(weird, text('page'), { durability: 'everysec' })).toBe(true);
      expect(await read(weird)).toBe('page');
      expect(await at.store.getRecord(weird)).toBeUndefined();
      expect((await all(at.store)).map(({ id }) => id)).toEqual(['a']);
    });
  });

  describe('pages live as long as a record names them', () => {
    test('one that no record names is refused', async () => {
      if (at.store.putPage === undefined) return;
      expect(await put('p')).toBe(false);
      expect(await read('p')).toBeUndefined();
      await name(at.store, 'a', 'other');
      expect(await put('p')).toBe(false);
      await name(at.store, 'a', 'p');
      expect(await put('p')).toBe(true);
      expect(await put('other')).toBe(false);
    });

    test('a write that names it no more gives it up; one that names it again does not bring it back', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', 'p', 'q');
      await put('p');
      await put('q');
      await name(at.store, 'a', 'q', 'r');
      expect(await read('p')).toBeUndefined();
      expect(await read('q')).toBe('q');
      await name(at.store, 'a', 'p');
      expect(await read('p')).toBeUndefined();
      expect(await read('q')).toBeUndefined();
      expect(await put('p')).toBe(true);
    });

    test('a deleted record takes along what no other names', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', 'mine', 'ours');
      await name(at.store, 'b', 'ours');
      await put('mine');
      await put('ours');
      await at.store.deleteRecord('a');
      expect(await read('mine')).toBeUndefined();
      expect(await read('ours')).toBe('ours');
      await at.store.deleteRecord('b');
      expect(await read('ours')).toBeUndefined();
      expect(await put('ours')).toBe(false);
    });

    test('a page named twice by a record is named once', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', 'p', 'p');
      await put('p');
      await name(at.store, 'a');
      expect(await read('p')).toBeUndefined();
      expect(await put('p')).toBe(false);
    });

    test('a refused write gives up nothing', async () => {
      if (at.store.putPage === undefined) return;
      await name(at.store, 'a', 'p');
      await put('p');
      await at.store.putRecord('a', text('x'), { expected: 0, pages: ['q'] }).catch(() => undefined);
      expect(await read('p')).toBe('p');
      expect(await put('q')).toBe(false);
    });

    test('named by hundreds of records and by each other process', async () => {
      if (at.store.putPage === undefined) return;
      const stores = [at.store, await at.reopened()];
      const ids = Array.from({ length: 200 }, (_, i) => String(i));
      await Promise.all(ids.map((id, i) => name(stores[i % 2] ?? at.store, id, 'common', `own ${id}`)));
      await put('common');
      await Promise.all(ids.slice(1).map(async (id, i) => stores[i % 2]?.deleteRecord(id)));
      expect(await read('common')).toBe('common');
      await at.store.deleteRecord('0');
      expect(await read('common')).toBeUndefined();
    });
  });
}
