import { pageHeader } from '../../lib/page.js';
import type { Page } from '../../lib/pages.js';
import { PageTiers } from '../../lib/tiers.js';
import { PageStore } from './page-store.js';

export const MiB: number = 2 ** 20;
export const page = (name: string): Page => ({ key: name.repeat(64), from: 0, to: 16 });
export const kv = (bytes = 10, value = 1): Uint8Array => new Uint8Array(bytes).fill(value);

/** What a store would have kept of it. */
export const stored = async ({ key }: Page, bytes: Uint8Array = kv()): Promise<Uint8Array> =>
  Buffer.concat([await pageHeader(key, bytes), bytes]);

export function makeTiers({ ramBytes = MiB } = {}): { store: PageStore; tiers: PageTiers } {
  const store = new PageStore();
  return { store, tiers: new PageTiers(store, ramBytes) };
}
