import { attempt, measurePrefillLimit } from '../limit.mjs';
import { round } from '../measure.mjs';
import { failures, inTurns, middle, shownMiddle } from '../rivals.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'tokens per second of one long prompt, alone, until its reply begins; beside llama-bench and the rivals';

/** @param {Settings} settings */
export async function run(settings) {
  const promptTokens = settings.quick ? 1024 : 4096;
  const room = { sequences: 1, tokensEach: promptTokens + 512 };
  const runs = await inTurns(settings, 'prefill', 'prefill', room, (seed) => ({ promptTokens, seed }), {
    // One reading a turn, as of the others: the machine drifts by more within five of them than what is compared.
    limit: () =>
      attempt(async () => ({ rate: await measurePrefillLimit({ ...settings, promptTokens, repetitions: 1 }) })),
  });
  const ours = middle(runs.ours, ({ rate }) => rate);
  const rows = Object.entries(runs).map(([who, found]) => ({
    who,
    'prompt tokens': promptTokens,
    'tok/s': shownMiddle(found, ({ rate }) => rate, 1) ?? 'failed',
    'ours / this': round(ours / middle(found, ({ rate }) => rate), 3),
    'all runs': found.map(({ rate }) => round(rate ?? NaN, 0) ?? '-').join(' '),
  }));
  const limit = middle(runs.limit, ({ rate }) => rate);
  return { rows, goals: { 'at least 0.97 of llama-bench': ours / limit >= 0.97 }, notes: failures('prefill', runs) };
}
