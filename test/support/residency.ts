/** A Residency over an engine without a model and a store in memory, and what sessions do with it. */
import type { EngineInfo } from '../../lib/native.js';
import { PageNames } from '../../lib/pages.js';
import { Residency, SessionKv } from '../../lib/residency.js';
import type { SessionStore } from '../../lib/stores/store.js';
import { PageTiers } from '../../lib/tiers.js';
import { RestoreWorth } from '../../lib/worth.js';
import { within } from './deadline.js';
import { FakeEngine } from './fake-engine.js';
import { PageStore } from './page-store.js';

/** Tokens of a full page. */
export const PAGE = 32;

export interface Place {
  engine: FakeEngine;
  store: PageStore;
  tiers: PageTiers;
  residency: Residency;
  /** One turn of a session. @returns how many tokens needed no computing */
  speak(kv: SessionKv, prompt: Int32Array, kept?: Int32Array): Promise<number>;
}

/** @param pages false: KV can be taken as a whole only */
export function makePlace({
  sequences = 2,
  pages = true,
  portableKv = true,
  ramBytes = 2 ** 24,
  always = true,
  keepsPages = true,
} = {}): Place {
  const engine = new FakeEngine({ sequences, pages });
  const store = new PageStore();
  const { getRecord, putRecord, deleteRecord, listRecords } = store;
  const recordsOnly: SessionStore = { getRecord, putRecord, deleteRecord, listRecords };
  const tiers = new PageTiers(keepsPages ? store : recordsOnly, ramBytes);
  const info = { sequences, pages, portableKv } as EngineInfo;
  const names = new PageNames('model', 'format', pages ? PAGE : Infinity);
  const residency = new Residency(engine.engine, info, names, tiers, new RestoreWorth(always));
  return {
    engine,
    store,
    tiers,
    residency,
    speak: async (kv, prompt, kept = prompt) => {
      const sequence = residency.seat(kv);
      await residency.restore(kv, prompt, never);
      const held = engine.compute(sequence, kept);
      residency.release(kv, kept);
      return Math.min(held, prompt.length);
    },
  };
}

/** Nobody stops it. */
export const never: Promise<void> = new Promise(() => undefined);

/** So many tokens; the first `common` are the same for every `voice`. */
export function say(length: number, voice: number = 0, common: number = 0): Int32Array {
  return Int32Array.from({ length }, (_, i) => (i < common ? i : 1000 * voice + i));
}

/** A session that has said so much and left the device. */
export async function parked({ residency, tiers, speak }: Place, tokens: Int32Array): Promise<SessionKv> {
  const kv = new SessionKv();
  await speak(kv, tokens);
  await residency.park(kv);
  await kv.recorded;
  await within('written', tiers.written());
  return kv;
}
