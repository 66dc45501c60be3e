import { describe, expect, test } from 'vitest';
import { all, allBytes, expectCode, plain, random, same, text, weirdIds, type StoreUnderTest } from './store-values.js';

/** Records, one by one. */
export function recordTests(at: StoreUnderTest): void {
  describe('records', () => {
    test('a record that was never written is undefined', async () => {
      expect(await at.store.getRecord('nobody')).toBeUndefined();
      expect(await at.store.deleteRecord('nobody')).toBe(false);
    });

    test('bytes come back as they were, any bytes', async () => {
      for (const [i, bytes] of [new Uint8Array(), allBytes(), random(100_000)].entries()) {
        expect(await at.store.putRecord(`r${String(i)}`, bytes, { expected: 0 })).toBe(1);
        const record = await (await at.reopened()).getRecord(`r${String(i)}`);
        expect(record?.version).toBe(1);
        expect(same(record?.bytes, bytes)).toBe(true);
      }
    });

    test('bytes are copied on the way in and out, Buffers too', async () => {
      const given = Buffer.from([1, 2, 3]);
      await at.store.putRecord('a', given, { expected: 0 });
      given.fill(9);
      const first = await at.store.getRecord('a');
      expect([...(first?.bytes ?? [])]).toEqual([1, 2, 3]);
      first?.bytes.fill(8);
      expect([...((await at.store.getRecord('a'))?.bytes ?? [])]).toEqual([1, 2, 3]);
    });

    test('a view into larger memory stores what it shows', async () => {
      const view = new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 4);
      await at.store.putRecord('a', view, { expected: 0 });
      expect([...((await at.store.getRecord('a'))?.bytes ?? [])]).toEqual([1, 2, 3]);
    });

    test('each write makes the version one higher and replaces all of it', async () => {
      expect(await at.store.putRecord('a', text('one'), { expected: 0, expiresAt: 5 })).toBe(1);
      expect(await at.store.putRecord('a', text('two'), { expected: 1 })).toBe(2);
      expect(await at.store.putRecord('a', text('three'), { expected: 2, expiresAt: 7 })).toBe(3);
      expect(plain(await (await at.reopened()).getRecord('a'))).toEqual({ version: 3, bytes: 'three', expiresAt: 7 });
      expect(await at.store.putRecord('a', text('four'), { expected: 3 })).toBe(4);
      expect(plain(await at.store.getRecord('a'))).toEqual({ version: 4, bytes: 'four' });
    });

    test('an expiry comes back exactly; the store decides nothing by it', async () => {
      const later = Date.now() + 86_400_000;
      await at.store.putRecord('a', text('x'), { expected: 0, expiresAt: later });
      expect((await at.store.getRecord('a'))?.expiresAt).toBe(later);
      expect((await all(at.store))[0]?.expiresAt).toBe(later);
      await at.store.putRecord('b', text('x'), { expected: 0 });
      expect('expiresAt' in ((await at.store.getRecord('b')) ?? {})).toBe(false);
    });

    test.each(['always', 'everysec', 'none'] as const)('durability %s is taken', async (durability) => {
      for (let expected = 0; expected < 4; expected++) {
        await at.store.putRecord('a', text(String(expected)), { expected, durability });
        expect(plain(await at.store.getRecord('a'))).toEqual({ version: expected + 1, bytes: String(expected) });
      }
    });

    test('a delete takes the record away for good', async () => {
      await at.store.putRecord('a', text('x'), { expected: 0 });
      await at.store.putRecord('a', text('y'), { expected: 1 });
      expect(await at.store.deleteRecord('a')).toBe(true);
      expect(await at.store.deleteRecord('a')).toBe(false);
      expect(await (await at.reopened()).getRecord('a')).toBeUndefined();
    });

    test('who has read a record that was deleted writes over none that was made anew', async () => {
      await at.store.putRecord('a', text('x'), { expected: 0 });
      const read = await at.store.putRecord('a', text('y'), { expected: 1 });
      await at.store.deleteRecord('a');
      let version = 0;
      for (let i = 0; i < 3; i++) {
        version = await at.store.putRecord('a', text('new'), { expected: version });
        expect(version).toBeGreaterThan(read);
        const stale = at.store.putRecord('a', text('stale'), { expected: read });
        await expectCode(stale, 'SESSION_CONFLICT');
        await expectCode(at.store.deleteRecord('a', { expected: read }), 'SESSION_CONFLICT');
      }
      expect(plain(await (await at.reopened()).getRecord('a'))?.bytes).toBe('new');
    });

    test.each(weirdIds())('id %j is an id like any other', async (id) => {
      await at.store.putRecord(id, text('one'), { expected: 0 });
      await at.store.putRecord(id, text('two'), { expected: 1 });
      expect(plain(await (await at.reopened()).getRecord(id))).toEqual({ version: 2, bytes: 'two' });
      expect((await all(at.store)).map((record) => record.id)).toEqual([id]);
      expect(await at.store.deleteRecord(id)).toBe(true);
    });

    test('ids that differ in anything are different', async () => {
      const ids = ['a', 'A', 'a ', 'a\0', 'ä', 'a\u0308', '\ud800', '\ud801', '\ufffd', ''];
      for (const id of ids) await at.store.putRecord(id, text(`of ${JSON.stringify(id)}`), { expected: 0 });
      for (const id of ids) expect(plain(await at.store.getRecord(id))?.bytes).toBe(`of ${JSON.stringify(id)}`);
    });
  });
}
