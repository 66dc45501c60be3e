/** Statistics, and the conditions under which they were taken. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';

/**
 * @param {number[]} values
 * @param {number} fraction 0 to 1
 */
export function quantile(values, fraction) {
  const sorted = Float64Array.from(values).sort();
  if (!sorted.length) return NaN;
  const at = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at));
}

/** @param {number[]} values */
export const median = (values) => quantile(values, 0.5);

/** @param {number[]} values */
export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** @param {number[]} times ascending */
export const gaps = (times) => times.slice(1).map((time, i) => time - times[i]);

/**
 * Runs A B A B …: what drifts (heat, neighbours on the machine) then falls on all alike.
 * @template {Record<string, () => Promise<any>>} Runs
 * @param {number} repetitions
 * @param {Runs} runs
 * @returns {Promise<{ [name in keyof Runs]: Awaited<ReturnType<Runs[name]>>[] }>}
 */
export async function interleave(repetitions, runs) {
  const results = /** @type {any} */ (Object.fromEntries(Object.keys(runs).map((name) => [name, []])));
  for (let i = 0; i < repetitions; i++) {
    for (const [name, run] of Object.entries(runs)) results[name].push(await run());
  }
  return results;
}

/** @param {number} value @param {number} [digits] */
export const round = (value, digits = 2) => (Number.isFinite(value) ? Number(value.toFixed(digits)) : null);

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const machine = () => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: availableParallelism(),
  memoryGB: Math.round(totalmem() / 2 ** 30),
  platform: `${process.platform}-${process.arch}`,
  node: process.version,
});

/** Of all that is compared, as it was asked for. */
export function versions() {
  const json = (/** @type {string} */ path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
  const rivals = Object.entries(json('package.json').dependencies).map(([name, version]) => `${name} ${version}`);
  const ours = `llama-sessions ${json('../package.json').version}`;
  return [ours, `llama.cpp ${json('../vendor/llama.cpp.json').version}`, ...rivals, `Node ${process.version}`].join(
    ', ',
  );
}
