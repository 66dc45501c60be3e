import { median, quantile, round } from '../measure.mjs';
import { failures, inTurns } from '../rivals.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'milliseconds until the first token of a short prompt: nobody else there, and while 3 others read long prompts';

const OTHERS = 3;

/** @param {Settings} settings */
export async function run(settings) {
  const task = {
    times: settings.quick ? 2 : 5,
    others: OTHERS,
    promptTokens: 64,
    otherTokens: settings.quick ? 500 : 2000,
  };
  const room = { sequences: OTHERS + 1, tokensEach: task.otherTokens + 1024 };
  const runs = await inTurns(settings, 'first token', 'firstToken', room, task);
  const all = (/** @type {any[]} */ found, /** @type {'idle' | 'busy'} */ when) =>
    found.flatMap((one) => /** @type {number[]} */ (one[when] ?? []));
  const rows = Object.entries(runs).map(([who, found]) => {
    const [idle, busy] = [all(found, 'idle'), all(found, 'busy')];
    return {
      who,
      'idle ms': round(median(idle), 1) ?? 'failed',
      'ours / this': round(median(all(runs.ours, 'idle')) / median(idle), 3),
      'busy ms': round(median(busy), 1) ?? 'failed',
      'ours / this, busy': round(median(all(runs.ours, 'busy')) / median(busy), 3),
      'busy p99 ms': round(quantile(busy, 0.99), 1),
    };
  });
  return { rows, goals: {}, notes: failures('first token', runs) };
}
