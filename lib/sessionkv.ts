import type { Page } from './pages.js';
import { NO_TOKENS } from './tokens.js';
import type { PageTier } from './worth.js';

/** Where KV is. */
export type Tier = 'device' | PageTier | 'none';

/** The KV of one session, as residency sees it. Owned by the session; written by Residency alone, but for `rank`. */
export class SessionKv {
  /** The native sequence that it has. */
  sequence: number | undefined;
  /** Whether the sequence holds `tokens`; it has not, until a turn has restored them. */
  onDevice = false;
  /** What the KV is of, wherever it is, position by position. */
  tokens: Int32Array = NO_TOKENS;
  /** The pages of `named`, which are what `tokens` were when they last left the device or were copied. */
  pages: readonly Page[] = [];
  named: Int32Array = NO_TOKENS;
  /** Whether RAM and the store have been given all of `tokens`. */
  copied = true;
  /** A turn has it, or something else that must not be parked. */
  busy = false;
  /** Higher is parked later. */
  rank = 0;
  /** Since when it is not busy, in milliseconds of performance.now(). */
  idleSince = 0;
  /** Settles when all that it has was copied off the device. */
  moving: Promise<void> = Promise.resolve();
  /** Settles when the store has the record that names its pages; never rejects. */
  recorded: Promise<unknown> = Promise.resolve();
  /** Told when it leaves the device by itself. */
  onParked: () => void = () => undefined;
}
