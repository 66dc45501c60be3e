/** What programs that are killed at random, and their tests, have in common. */
import { openSync, writeSync } from 'node:fs';

/** Chances that come again with the same seed. @param {number} seed @returns {(n: number) => number} an integer from 0 to before n */
export function chances(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** The pages that chaos-child.mjs writes, and what they hold. */
export const pageKeys = Array.from({ length: 24 }, (_, i) => `page ${i}`);

/** @param {string} key @returns {Buffer} */
export const pageOf = (key) => Buffer.alloc(30_000 + key.length, key);

/**
 * Says in a file what is begun (`{ id, begun }`) and what was acknowledged (`{ id, done }`), a line each, which is there whatever
 * happens to the process. `{ wrong }` is what must never be.
 * @param {string} path @returns {(line: object) => void}
 */
export function logTo(path) {
  const file = openSync(path, 'a');
  return (line) => void writeSync(file, `${JSON.stringify(line)}\n`);
}
