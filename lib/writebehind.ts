import type { RamPage } from './ram.js';

/** Pages that are being written at the same time. */
const WRITERS = 2;
/** Bytes that wait after RAM has given them up; beyond it they are lost, and only time is. */
const MOST_HELD_BYTES = 2 ** 26;

interface Waiting extends RamPage {
  /** RAM has given it up. */
  held: boolean;
  /** The store knows of the record that names it. */
  recorded: boolean;
  /** Settles when it has been tried. */
  writing: Promise<void> | undefined;
}

/** Pages that wait for the store, in order. */
export class WriteBehind {
  readonly #write: (key: string, bytes: Uint8Array) => Promise<void>;
  readonly #pages = new Map<string, Waiting>();
  #heldBytes = 0;
  #writers = 0;
  #onWritten: (() => void)[] = [];

  /** @param write a page; where that fails the page is given up */
  constructor(write: (key: string, bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  has(key: string): boolean {
    return this.#pages.has(key);
  }

  get(key: string): RamPage | undefined {
    return this.#pages.get(key);
  }

  /** Settles when a page that is being written just now has been tried. */
  writing(key: string): Promise<void> | undefined {
    return this.#pages.get(key)?.writing;
  }

  /** @param recorded settles when the store has been told of the record that names it; never rejects. Absent: it has been */
  add(key: string, page: RamPage, recorded?: Promise<unknown>): void {
    const waiting: Waiting = { ...page, held: false, recorded: recorded === undefined, writing: undefined };
    this.#pages.set(key, waiting);
    if (recorded === undefined) this.#begin();
    else
      void recorded.then(() => {
        this.#onRecorded(key, waiting);
      });
  }

  /** RAM has given it up. It is kept for a while: the store may be slower than sessions are parked. */
  hold(key: string): void {
    const evicted = this.#pages.get(key);
    if (evicted === undefined || evicted.held) return;
    evicted.held = true;
    this.#heldBytes += evicted.bytes.byteLength;
    for (const [oldest, page] of this.#pages) {
      if (this.#heldBytes <= MOST_HELD_BYTES) return;
      if (page.held && page.writing === undefined) this.drop(oldest);
    }
  }

  drop(key: string): void {
    const page = this.#pages.get(key);
    if (page?.held === true) this.#heldBytes -= page.bytes.byteLength;
    this.#pages.delete(key);
  }

  /** Settles when nothing waits. */
  async written(): Promise<void> {
    if (this.#pages.size === 0 && this.#writers === 0) return;
    await new Promise<void>((resolve) => this.#onWritten.push(resolve));
  }

  #onRecorded(key: string, page: Waiting): void {
    page.recorded = true;
    if (this.#pages.get(key) === page) {
      // To the end: a writer may have passed it.
      this.#pages.delete(key);
      this.#pages.set(key, page);
    }
    this.#begin();
  }

  #begin(): void {
    if (this.#writers < WRITERS) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.#writers++;
    for (const [key, page] of this.#pages) {
      if (page.writing !== undefined || !page.recorded) continue;
      // A full disk, say: the session goes on; save() would have told its caller.
      page.writing = this.#write(key, page.bytes).catch(() => undefined);
      await page.writing;
      if (this.#pages.get(key) === page) this.drop(key);
    }
    this.#writers--;
    if (this.#writers === 0 && this.#pages.size === 0) for (const resolve of this.#onWritten.splice(0)) resolve();
  }
}
