import { statSync } from 'node:fs';
import { LAYOUTS, attempt, measureLimit } from '../limit.mjs';
import { round } from '../measure.mjs';
import { failures, inTurns, middle, shownMiddle } from '../rivals.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'tokens per second, all sessions together, streamed into JavaScript; beside the limit and the rivals';

const PROMPT_TOKENS = 64;
/** Below this a step is so short that replies must be longer to be measured. */
const SMALL_MODEL = 100e6;

/** What ours is to be, as a multiple of somebody else, with so many sessions. */
const GOALS = {
  large: { limit: { all: 0.97 }, 'node-llama-cpp': { 1: 1.25, 8: 2.5, 16: 3 }, 'llama-server': { all: 1 } },
  small: { limit: { 32: 0.85 }, 'node-llama-cpp': { 32: 3 } },
};

/** One for each number of sessions. @param {Settings} settings @returns {Settings[]} */
export const parts = (settings) =>
  (settings.sessions ?? (settings.quick ? [1, 8] : [1, 2, 4, 8, 16, 32])).map((count) => ({
    ...settings,
    sessions: [count],
  }));

/** @param {Settings} settings one of the parts */
export async function run(settings) {
  const [sessions] = /** @type {number[]} */ (settings.sessions);
  const size = statSync(settings.model).size < SMALL_MODEL ? 'small' : 'large';
  const runs = await measure(settings, sessions, size);
  const rates = Object.fromEntries(
    Object.entries(runs).map(([who, found]) => [who, middle(found, ({ rate }) => rate)]),
  );
  return {
    rows: [rowOf(sessions, runs, rates)],
    goals: goalsOf(sessions, rates, size, settings.kvLayout),
    notes: [...failures(`${sessions} sessions`, runs), ...disturbed(sessions, runs.ours, settings)],
  };
}

/**
 * @param {Settings} settings
 * @param {number} sessions
 * @param {'small' | 'large'} size
 * @returns {Promise<Record<string, any[]>>}
 */
function measure(settings, sessions, size) {
  // Long enough that all of them speak together for a while: who is first begins while the others still read.
  const maxTokens = Math.round((160 + sessions) * (size === 'small' ? 3 : 1) * (settings.quick ? 0.3 : 1));
  const room = { sequences: sessions, tokensEach: PROMPT_TOKENS + maxTokens + 64 };
  const task = { sessions, promptTokens: PROMPT_TOKENS, maxTokens, windowMs: settings.quick ? 2000 : 15_000 };
  const limit = { ...settings, sequences: sessions, promptTokens: PROMPT_TOKENS, generateTokens: maxTokens };
  /** @type {Record<string, () => Promise<any>>} */
  const limits = {};
  for (const kvLayout of LAYOUTS)
    limits[`limit ${kvLayout}`] = () => attempt(() => measureLimit({ ...limit, kvLayout }));
  return inTurns(settings, `throughput of ${sessions} sessions`, 'throughput', room, task, limits);
}

/**
 * Ours leaves a core to programs that want it; the others go on spinning. Then the run is no comparison.
 * @param {number} sessions
 * @param {any[]} ours
 * @param {Settings} settings
 */
function disturbed(sessions, ours, { threads }) {
  const count = ours.filter((found) => found.threads < threads).length;
  return count > 0 ? [`${sessions} sessions: other programs wanted the cores in ${count} runs of ours`] : [];
}

/**
 * @param {number} sessions
 * @param {Record<string, any[]>} runs
 * @param {Record<string, number>} rates
 */
function rowOf(sessions, runs, rates) {
  /** @type {import('../report.mjs').Row} */
  const row = { sessions };
  for (const [who, rate] of Object.entries(rates)) {
    row[who] = Number.isNaN(rate) ? 'failed' : round(rate, 1);
    if (who !== 'ours') row[`ours / ${who}`] = round(rates.ours / rate, 3);
  }
  for (const [who, found] of Object.entries(runs).slice(0, 3)) {
    row[`prefill, ${who}`] = shownMiddle(found, ({ prefillRate }) => prefillRate, 0);
  }
  row['ours, all runs'] = runs.ours.map(({ rate }) => round(rate, 0) ?? '-').join(' ');
  return row;
}

/**
 * The limit it is held against is in the layout that ours runs in; what it chooses by itself is unified. What failed is not met.
 * @param {number} sessions
 * @param {Record<string, number>} rates
 * @param {'small' | 'large'} size
 * @param {'unified' | 'streams'} [layout]
 */
function goalsOf(sessions, rates, size, layout = 'unified') {
  /** @type {Record<string, boolean>} */
  const goals = {};
  const others = { ...rates, limit: rates[`limit ${layout}`] };
  for (const [who, wanted] of Object.entries(GOALS[size])) {
    const times = /** @type {Record<string, number>} */ (wanted)[sessions] ?? /** @type {any} */ (wanted).all;
    if (!times || !(who in others)) continue;
    goals[`${sessions} sessions: at least ${times} of ${who}`] = rates.ours / others[who] >= times;
  }
  return goals;
}
