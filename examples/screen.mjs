/** What the demo shows: one line per session, filled while all of them stream. */
import { setTimeout as sleep } from 'node:timers/promises';

const out = process.stdout;
const SLOW_MOTION_MS = 3;

const painted = (code) => (text) => (out.isTTY && !process.env.NO_COLOR ? `\x1b[${code}m${text}\x1b[0m` : text);
export const bold = painted(1);
export const dim = painted(2);
export const red = painted(31);
export const green = painted(32);

/** The test model writes thousands of tokens per second: a terminal gets them later and slower, in the same order. */
export class Screen {
  #names;
  #texts;
  #pieces = [];

  /** @param {string[]} names of the lines */
  constructor(names) {
    this.#names = names;
    this.#texts = names.map(() => '');
  }

  /** Adds to a line. */
  write(row, text) {
    this.#texts[row] += text;
    this.#pieces.push({ row, text });
  }

  /** Shows everything that was written. */
  async show() {
    if (out.isTTY) await this.#replay();
    for (const row of this.#names.keys()) out.write(`${this.#line(row, bothEnds)}\n`);
    const order = this.#pieces.map(({ row }) => this.#names[row][0]).join('');
    out.write(dim(`Pieces in the order they came, by initial: ${order.slice(0, 48)}…\n`));
  }

  async #replay() {
    const shown = this.#names.map(() => '');
    out.write('\n'.repeat(shown.length));
    for (const { row, text } of this.#pieces) {
      shown[row] += text;
      const up = shown.length - row;
      out.write(`\x1b[${up}A\r\x1b[2K${this.#line(row, end, shown[row])}\x1b[${up}B\r`);
      await sleep(SLOW_MOTION_MS);
    }
    out.write(`\x1b[${shown.length}A\x1b[J`);
  }

  #line(row, fit, text = this.#texts[row]) {
    const room = Math.max((out.columns ?? 110) - 12, 40);
    return bold(this.#names[row].padEnd(8)) + (text.length > room ? fit(text, room) : text);
  }
}

const end = (text, room) => `…${text.slice(1 - room)}`;
const bothEnds = (text, room) => `${text.slice(0, room - 26)} … ${text.slice(-23)}`;
