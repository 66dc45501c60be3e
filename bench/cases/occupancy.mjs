import { round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { arrivalsOf, deleteSessions, greedy, openModel, openSessions, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about = 'sequences per generating step, while N sessions generate';
export const once = true;

const PROMPT_TOKENS = 32;

/** @param {Settings} settings */
export async function run(settings) {
  const rows = [];
  for (const sessions of settings.quick ? [2, 8] : [2, 4, 8, 16]) {
    progress(`occupancy of ${sessions} sessions`);
    const { together, whole } = await measure(settings, sessions, settings.quick ? 64 : 128);
    rows.push({
      sessions,
      occupancy: round(together, 3),
      'of N': round(together / sessions, 4),
      'with start and end': round(whole, 3),
      'node-llama-cpp (known)': sessions - 1,
    });
  }
  return { rows, goals: { 'occupancy above 0.98 N': rows.every((row) => Number(row['of N']) > 0.98) } };
}

/**
 * @param {Settings} settings
 * @param {number} count
 * @param {number} maxTokens
 */
async function measure(settings, count, maxTokens) {
  const model = await openModel(settings, {
    maxResident: count,
    contextTokens: count * (PROMPT_TOKENS + maxTokens) + 1024,
  });
  const sessions = await openSessions(model, count);
  const prompts = sessions.map((_, i) => promptTokens(model, PROMPT_TOKENS, i));
  const before = model.stats();
  // All generate from the moment when the last one has begun until the first one is about to end.
  let begun = 0;
  /** @type {Record<string, number> | undefined} */
  let first;
  /** @type {Record<string, number> | undefined} */
  let last;
  await Promise.all(
    sessions.map((session, i) => {
      let tokens = 0;
      return arrivalsOf(session.complete(prompts[i], greedy(maxTokens)), (arrivals) => {
        if (arrivals.times.length === 1 && ++begun === count) first = model.stats();
        tokens += arrivals.tokens.at(-1) ?? 0;
        if (tokens >= maxTokens - 2) last ??= model.stats();
      });
    }),
  );
  const after = model.stats();
  await deleteSessions(sessions);
  await model.close();
  if (!first || !last) throw new Error('the sessions never generated together');
  return { together: occupancy(first, last), whole: occupancy(before, after) };
}

/**
 * @param {Record<string, number>} from
 * @param {Record<string, number>} to
 */
const occupancy = (from, to) =>
  (to.generatedSequences - from.generatedSequences) / (to.generateSteps - from.generateSteps);
