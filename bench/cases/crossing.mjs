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
 * With every step that thread wakes up, for all pieces together, in caches that others have used meanwhile. What this costs Node
 * even if there is nothing to do is measured in the same run, with a timer; the work is the rest.
 * @param {Settings} settings
 */
export async function run(settings) {
  const sessions = settings.sessions?.at(-1) ?? 32;
  const maxTokens = settings.quick ? 256 : 512;
  const [windows, windowMs] = settings.quick ? [4, 500] : [8, 1000];
  const task = { sessions, promptTokens: 32, maxTokens, windows, windowMs, tickMs: 10 };
  const room = { sequences: sessions, tokensEach: 32 + maxTokens + 64, quiet: true };
  const runs = await inTurns({ ...settings, model: namedModel('15m') }, 'crossing', 'crossing', room, task);
  const workOf = (/** @type {any} */ { usPerPiece, usPerTick, piecesAtOnce }) =>
    usPerPiece - (usPerTick ?? NaN) / piecesAtOnce;
  const ours = middle(runs.ours, ({ usPerPiece }) => usPerPiece ?? NaN);
  const rows = Object.entries(runs).map(([who, found]) => {
    const us = middle(found, ({ usPerPiece }) => usPerPiece ?? NaN);
    return {
      who,
      'µs per piece': round(us),
      'ours / this': round(ours / us, 3),
      'pieces at once': shownMiddle(found, ({ piecesAtOnce }) => piecesAtOnce, 1),
      'µs to wake up for nothing': shownMiddle(found, ({ usPerTick }) => usPerTick ?? NaN, 0),
      'µs of work per piece': shownMiddle(found, workOf),
      'load of the thread': shownMiddle(found, ({ threadLoad }) => threadLoad ?? NaN, 3),
      'tok/s': shownMiddle(found, ({ rate }) => rate, 0) ?? 'failed',
    };
  });
  const goals = { [`work under ${GOAL_US} µs`]: middle(runs.ours, workOf) < GOAL_US };
  return { rows, goals, notes: failures('crossing', runs) };
}
