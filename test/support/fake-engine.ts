/**
 * An engine of sequences without a model: it knows the tokens of each, takes commands in order and notes them. Its KV says
 * which tokens it is of, so that KV which is taken for that of others is found out.
 */
import { commonPrefix } from '../../lib/tokens.js';
import type { Engine } from '../../lib/engine.js';
import { Gate } from './gate.js';

export class FakeEngine {
  onPressure: (cells: number) => void = () => undefined;
  /** `export 0 0-32`, `clear 0`, `adopt 1 40: 32`, `import 1 32-40 ours`, `share 1 32-40`, `compute 1 50: 40 held`. */
  readonly log: string[] = [];
  /** Holds back what exports come to. */
  readonly exports: Gate = new Gate();
  failsExports = false;
  /** Imports from that position on are refused, as if there was no room. */
  refusesFrom = Infinity;
  /** Imports reject, as an engine's that was closed. */
  failsImports = false;
  /** KV was taken for that of other tokens. */
  mixups = 0;
  readonly #pages: boolean;
  readonly #sequences: Int32Array[];

  constructor({ sequences, pages }: { sequences: number; pages: boolean }) {
    this.#pages = pages;
    this.#sequences = Array.from({ length: sequences }, () => new Int32Array(0));
  }

  /** What Residency takes. */
  get engine(): Engine {
    return this as unknown as Engine;
  }

  /** The commands since it was asked last. */
  taken(): string[] {
    return this.log.splice(0);
  }

  /** What a turn does. @returns how many tokens needed no computing */
  compute(sequence: number, tokens: Int32Array): number {
    const held = this.#adopt(sequence, tokens);
    this.#sequences[sequence] = tokens;
    this.log.push(`compute ${sequence} ${tokens.length}: ${held} held`);
    return held;
  }

  /** As if a step had failed. */
  lose(sequence: number): void {
    this.#sequences[sequence] = new Int32Array(0);
  }

  adoptPrefix(sequence: number, tokens: Int32Array): Promise<number> {
    const held = this.#adopt(sequence, tokens);
    this.log.push(`adopt ${sequence} ${tokens.length}: ${held}`);
    return Promise.resolve(held);
  }

  async exportKv(sequence: number, from: number, to: number): Promise<Uint8Array> {
    this.log.push(`export ${sequence} ${from}-${to}`);
    const tokens = this.#of(sequence);
    const possible = to <= tokens.length && (this.#pages || (from === 0 && to === tokens.length));
    const kv = kvOf(tokens, from, to);
    await this.exports.pass();
    if (!possible || this.failsExports) throw new Error(`sequence ${sequence} does not hold ${from} to ${to}`);
    return kv;
  }

  importKv(sequence: number, from: number, added: Int32Array, kv: Uint8Array, trusted: boolean): Promise<boolean> {
    const to = from + added.length;
    const held = this.#of(sequence);
    const all = Int32Array.from([...held.subarray(0, from), ...added]);
    const shared = this.#pages && this.#sequences.some((each, i) => i !== sequence && commonPrefix(each, all) === to);
    this.log.push(
      shared ? `share ${sequence} ${from}-${to}` : `import ${sequence} ${from}-${to} ${trusted ? 'ours' : 'foreign'}`,
    );
    if (this.failsImports) return Promise.reject(new Error('closed'));
    if (from > held.length) return Promise.resolve(false);
    this.#sequences[sequence] = held.subarray(0, from);
    if (to > this.refusesFrom && !shared) return Promise.resolve(false);
    if (Buffer.compare(kv, kvOf(all, from, to)) !== 0) this.mixups++;
    this.#sequences[sequence] = all;
    return Promise.resolve(true);
  }

  clearSequence(sequence: number): Promise<void> {
    this.log.push(`clear ${sequence}`);
    this.#sequences[sequence] = new Int32Array(0);
    return Promise.resolve();
  }

  /** The longest beginning that any sequence holds, and with `pages` shares. */
  #adopt(sequence: number, tokens: Int32Array): number {
    const candidates = this.#pages ? this.#sequences : [this.#of(sequence)];
    const held = Math.max(...candidates.map((each) => commonPrefix(each, tokens)));
    this.#sequences[sequence] = tokens.subarray(0, held);
    return held;
  }

  #of(sequence: number): Int32Array {
    return this.#sequences[sequence]!;
  }
}

/** KV depends on all tokens before it, too. */
function kvOf(tokens: Int32Array, from: number, to: number): Uint8Array {
  return Buffer.from(JSON.stringify([from, ...tokens.subarray(0, to)]));
}
