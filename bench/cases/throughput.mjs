import { buildLimit, measureLimit } from '../limit.mjs';
import { interleave, median, round } from '../measure.mjs';
import { progress } from '../report.mjs';
import {
  BATCH_TOKENS,
  arrivalsOf,
  commonRate,
  deleteSessions,
  greedy,
  openModel,
  openSessions,
  promptTokens,
} from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about = 'tokens per second, all sessions together, streamed into JavaScript; beside llama-batched-bench';

const PROMPT_TOKENS = 64;

/** @param {Settings} settings */
export async function run(settings) {
  await buildLimit();
  const rows = [];
  for (const sessions of settings.quick ? [1, 8] : [1, 2, 4, 8, 16]) {
    // Long enough that all of them speak together for a while: who is first begins while the others still read.
    const { ours, limit } = await measure(settings, sessions, (settings.quick ? 48 : 128) + 16 * sessions);
    rows.push({
      sessions,
      'ours tok/s': round(median(ours), 1),
      'limit tok/s': round(median(limit), 1),
      'of the limit': round(median(ours) / median(limit), 3),
      'ours, all runs': ours.map((rate) => round(rate, 0)).join(' '),
      'limit, all runs': limit.map((rate) => round(rate, 0)).join(' '),
    });
  }
  return { rows, goals: {} };
}

/**
 * @param {Settings} settings
 * @param {number} count
 * @param {number} generateTokens
 */
async function measure(settings, count, generateTokens) {
  const contextTokens = count * (PROMPT_TOKENS + generateTokens) + 256;
  const model = await openModel(settings, { maxResident: count, contextTokens, kvLayout: 'unified' });
  let repetition = 0;
  const rates = await interleave(settings.quick ? 1 : 3, {
    ours: async () => {
      progress(`throughput of ${count} sessions, run ${++repetition}: ours`);
      return await generate(model, count, generateTokens);
    },
    limit: async () => {
      progress(`throughput of ${count} sessions, run ${repetition}: limit`);
      const shape = { sequences: count, promptTokens: PROMPT_TOKENS, generateTokens, batchTokens: BATCH_TOKENS };
      return (await measureLimit({ ...settings, ...shape })).generatePerSecond;
    },
  });
  await model.close();
  return rates;
}

/**
 * @param {import('../sessions.mjs').Model} model
 * @param {number} count
 * @param {number} maxTokens
 */
async function generate(model, count, maxTokens) {
  const sessions = await openSessions(model, count);
  const replies = await Promise.all(
    sessions.map((session, i) =>
      arrivalsOf(session.complete(promptTokens(model, PROMPT_TOKENS, i), greedy(maxTokens))),
    ),
  );
  await deleteSessions(sessions);
  return commonRate(replies);
}
