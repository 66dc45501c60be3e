import { namedModel } from '../generate-model.mjs';
import { round, sleep } from '../measure.mjs';
import { progress } from '../report.mjs';
import { failures, inTurns, middle } from '../rivals.mjs';
import { watchLoop } from '../tasks.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {{ p50: number, p99: number, max: number }} Delay */

export const about = 'delay of the event loop in milliseconds (timer of 1 ms: an idle one shows about 1)';

const GOAL_MS = 2;

/** @param {Settings} settings */
export async function run(settings) {
  const sessions = settings.sessions?.at(-1) ?? 32;
  const watched = await watchLoop();
  await sleep(settings.quick ? 1000 : 3000);
  const idle = await watched();
  const large = namedModel('500mb', (fraction) => progress(`making the 500 MB model: ${Math.round(fraction * 100)} %`));
  // Short steps are the hard case: the small model makes an order of magnitude more pieces.
  const speaking = await stream(settings, `${sessions} sessions stream`, sessions, settings.quick ? 16 : 64);
  const small = { ...settings, model: namedModel('15m') };
  const chatter = await stream(small, `${sessions} sessions stream, 15M model`, sessions, settings.quick ? 64 : 256);
  const loading = await stream({ ...settings, model: large }, 'loading 500 MB', 1, 8);
  const groups = [
    speaking,
    chatter,
    { ...loading, delayOf: (/** @type {any} */ { opened }) => /** @type {Delay} */ (opened) },
  ];
  const rows = [{ while: 'idle', who: '-', ...rounded(idle) }, ...groups.flatMap(rowsOf)];
  const worst = [speaking, chatter].map(({ runs }) => middle(runs.ours, ({ loop }) => loop.p99));
  return {
    rows,
    goals: { [`p99 under ${GOAL_MS} ms above idle while ${sessions} stream`]: Math.max(...worst) - idle.p99 < GOAL_MS },
    notes: groups.flatMap(({ title, runs }) => failures(title, runs)),
  };
}

/**
 * @param {Settings} settings
 * @param {string} title
 * @param {number} sessions
 * @param {number} maxTokens
 */
async function stream(settings, title, sessions, maxTokens) {
  const task = { sessions, promptTokens: 32, maxTokens, windowMs: 10_000, watch: true };
  const runs = await inTurns(settings, title, 'throughput', { sequences: sessions, tokensEach: 128 + maxTokens }, task);
  return { title, runs, delayOf: (/** @type {any} */ { loop }) => /** @type {Delay} */ (loop) };
}

/** @param {Awaited<ReturnType<typeof stream>>} group */
function rowsOf({ title, runs, delayOf }) {
  return Object.entries(runs).map(([who, found]) => {
    const [p50, p99, max] = /** @type {const} */ (['p50', 'p99', 'max']).map((key) =>
      middle(found, (one) => delayOf(one)[key]),
    );
    return { while: title, who, ...rounded({ p50, p99, max }) };
  });
}

/** @param {Delay} delay */
const rounded = ({ p50, p99, max }) => ({ p50: round(p50) ?? 'failed', p99: round(p99), max: round(max) });
