import { expect, test } from 'vitest';
import type { Conversation } from '../../lib/conversation.js';
import type { OpenExport } from '../../lib/exportfile.js';
import type { Host } from '../../lib/host.js';
import { takeKv } from '../../lib/keeping.js';
import { kv, makeTiers, page, stored } from '../support/tiers.js';

test('KV of an export file does not replace what is there, in RAM or in the store', async () => {
  const { store, tiers } = makeTiers();
  const [inRam, inStore, nowhere] = [page('a'), page('b'), page('c')];
  await tiers.add(inRam.key, Promise.resolve(kv(10, 1)));
  store.pages.set(inStore.key, await stored(inStore, kv(10, 2)));

  const pages = [inRam, inStore, nowhere];
  const host = {
    residency: { tiers, namesOf: () => pages, hold: () => undefined },
    info: { portableKv: true },
    durability: 'always',
  } as unknown as Host;
  const tokens = new Int32Array(48);
  const file = {
    record: { kvTokens: 48 },
    async *pages() {
      for (const each of pages) yield Promise.resolve({ page: each, kv: kv(10, 9) });
    },
  } as unknown as OpenExport;
  await takeKv(host, { kv: {}, tokens, usableTokens: tokens } as unknown as Conversation, file);

  const now = await Promise.all(pages.map((each) => tiers.get(each)));
  expect(now.map((found) => [found?.kv[0], found?.ours])).toEqual([
    [1, true],
    [2, false],
    [9, false],
  ]);
  expect(store.pages.get(inRam.key)).toEqual(await stored(inRam, kv(10, 1)));
  expect(store.pages.get(nowhere.key)).toEqual(await stored(nowhere, kv(10, 9)));
});
