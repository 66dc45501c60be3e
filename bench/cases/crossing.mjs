import { namedModel } from '../generate-model.mjs';
import { round } from '../measure.mjs';
import { failures, inTurns, middle, shownMiddle } from '../rivals.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'what one piece costs the JavaScript thread, in microseconds of its own CPU time: 32 sessions of the 15M model stream';

const GOAL_US = 5;

/**
 * CPU time of the thread while all speak, through the pieces that came: the crossing, promises and iterators, garbage, and the
 * loop that reads them. Time in which the thread waits costs nothing; nor does that of other threads.
 * @param {Settings} settings
 */
export async function run(settings) {
  const sessions = settings.sessions?.at(-1) ?? 32;
  const maxTokens = settings.quick ? 128 : 512;
  const task = { sessions, promptTokens: 32, maxTokens, windowMs: settings.quick ? 2000 : 10_000 };
  const room = { sequences: sessions, tokensEach: 32 + maxTokens + 64, quiet: true };
  const runs = await inTurns({ ...settings, model: namedModel('15m') }, 'crossing', 'throughput', room, task);
  const ours = middle(runs.ours, ({ usPerPiece }) => usPerPiece ?? NaN);
  const rows = Object.entries(runs).map(([who, found]) => {
    const us = middle(found, ({ usPerPiece }) => usPerPiece ?? NaN);
    return {
      who,
      'µs per piece': round(us),
      'ours / this': round(ours / us, 3),
      'load of the thread': shownMiddle(found, ({ threadLoad }) => threadLoad ?? NaN, 3),
      'tok/s': shownMiddle(found, ({ rate }) => rate, 0) ?? 'failed',
    };
  });
  return { rows, goals: { [`under ${GOAL_US} µs`]: ours < GOAL_US }, notes: failures('crossing', runs) };
}
