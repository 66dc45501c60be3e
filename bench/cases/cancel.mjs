import { gaps, median, quantile, round, sleep } from '../measure.mjs';
import { progress } from '../report.mjs';
import { failures, inTurns } from '../rivals.mjs';
import { arrivalsOf, deleteSessions, greedy, openModel, openSessions, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {import('../sessions.mjs').Model} Model */
/** @typedef {import('../sessions.mjs').Session} Session */

export const about = 'time from cancel() until the turn resolves, and until the engine serves somebody else';
export const once = true;

const PREFILL_TOKENS = 7000;
const PROBE_TOKENS = 8;

/** @param {Settings} settings */
export async function run(settings) {
  const repetitions = settings.quick ? 2 : 20;
  const rows = [await queued(settings, repetitions), ...(await running(settings, repetitions))];
  const beside = await besideRivals(settings);
  return {
    rows: [...rows, ...beside.rows],
    goals: { 'resolved within two steps': rows.every((row) => Number(row['in steps']) <= 2) },
    notes: beside.notes,
  };
}

/**
 * All of them looked at from outside, ours too. A contestant's turn counts as ended when it says so.
 * @param {Settings} settings
 */
async function besideRivals(settings) {
  // Who hears of it when the whole prompt is read needs so long for ten of them.
  const once = { ...settings, repetitions: 1, timeoutMs: 5 * settings.timeoutMs };
  const times = settings.quick ? 2 : 10;
  const long = settings.quick ? 2000 : PREFILL_TOKENS;
  const room = { sequences: 2, tokensEach: long + 1024 };
  const phases = {
    'in the queue': () =>
      inTurns(
        once,
        'cancel in the queue',
        'cancelQueued',
        { sequences: 1, tokensEach: 8192 },
        { times, maxTokens: 6000, afterMs: 50 },
      ),
    'in prefill': () =>
      inTurns(once, 'cancel in prefill', 'cancel', room, {
        times,
        promptTokens: long,
        maxTokens: 8,
        afterMs: settings.quick ? 100 : 500,
      }),
    'in generation': () =>
      inTurns(once, 'cancel in generation', 'cancel', room, { times, promptTokens: 64, maxTokens: long, afterMs: 500 }),
  };
  const [rows, notes] = [/** @type {import('../report.mjs').Row[]} */ ([]), /** @type {string[]} */ ([])];
  for (const [phase, compare] of Object.entries(phases)) {
    const runs = await compare();
    notes.push(...failures(`cancel ${phase}`, runs));
    for (const [who, [found]] of Object.entries(runs)) {
      rows.push(
        found.failed
          ? { cancelled: `${phase}, ${who}`, 'resolved ms': 'failed' }
          : row(`${phase}, ${who}`, NaN, found.resolved, found.free ?? []),
      );
    }
  }
  return { rows, notes };
}

/**
 * The engine has one sequence, and somebody else has it.
 * @param {Settings} settings
 * @param {number} repetitions
 */
async function queued(settings, repetitions) {
  const model = await openModel(settings, { maxResident: 1, contextTokens: 8192 });
  const [speaker, waiting] = await openSessions(model, 2);
  const turn = speaker.complete(promptTokens(model, 64, 0), greedy(6000));
  /** @type {number[]} */
  let heard = [];
  const spoken = arrivalsOf(turn, ({ times }) => (heard = times));
  while (heard.length < 20) await sleep(5);
  const resolved = [];
  for (let i = 0; i < repetitions; i++) {
    progress(`cancel in the queue, ${i + 1} of ${repetitions}`);
    const next = waiting.complete(promptTokens(model, 64, i + 1), greedy(1000));
    await sleep(50);
    resolved.push(await timeToCancel(next));
  }
  const step = median(gaps(heard));
  turn.cancel();
  await spoken;
  await deleteSessions([speaker, waiting]);
  await model.close();
  return row('in the queue', step, resolved, []);
}

/**
 * The engine works for the turn that is cancelled, and for nobody else.
 * @param {Settings} settings
 * @param {number} repetitions
 */
async function running(settings, repetitions) {
  const model = await openModel(settings, { maxResident: 4, contextTokens: 3 * PREFILL_TOKENS });
  const usualProbe = median([await probe(model, 1), await probe(model, 2), await probe(model, 3)]);
  let seed = 10;
  const rows = [];
  for (const [phase, promptLength] of /** @type {const} */ ([
    ['prefill', PREFILL_TOKENS],
    ['generation', 64],
  ])) {
    const [resolved, free, steps] = [[], [], []].map(() => /** @type {number[]} */ ([]));
    for (let i = 0; i < repetitions; i++) {
      progress(`cancel in ${phase}, ${i + 1} of ${repetitions}`);
      const [session] = await openSessions(model, 1);
      const turn = session.complete(promptTokens(model, promptLength, seed++), greedy(4000));
      const before = model.stats().steps;
      const begun = performance.now();
      await sleep(1000 + 200 * (i % 5)); // well inside: the prefill takes several seconds, the generation goes on for thousands of tokens
      steps.push((performance.now() - begun) / (model.stats().steps - before));
      const probed = probe(model, seed++);
      resolved.push(await timeToCancel(turn));
      free.push((await probed) - usualProbe);
      await session.delete();
    }
    rows.push(row(`in ${phase}`, median(steps), resolved, free));
  }
  await model.close();
  return rows;
}

/** @param {import('../sessions.mjs').Turn} turn */
async function timeToCancel(turn) {
  const started = performance.now();
  turn.cancel();
  const { finishReason } = await turn;
  if (finishReason !== 'cancelled') throw new Error(`a cancelled turn ended with ${finishReason}`);
  return performance.now() - started;
}

/**
 * How long somebody new waits for a first token.
 * @param {Model} model
 * @param {number} seed
 */
async function probe(model, seed) {
  const started = performance.now();
  const [session] = await openSessions(model, 1);
  const { times } = await arrivalsOf(session.complete(promptTokens(model, PROBE_TOKENS, seed), greedy(1)));
  await session.delete();
  return times[0] - started;
}

/**
 * @param {string} cancelled
 * @param {number} step
 * @param {number[]} resolved
 * @param {number[]} free
 */
const row = (cancelled, step, resolved, free) => ({
  cancelled,
  'step ms': round(step),
  'resolved ms': round(median(resolved)),
  p99: round(quantile(resolved, 0.99)),
  'at most': round(Math.max(...resolved)),
  'in steps': round(Math.max(...resolved) / step),
  'free for others after ms': round(median(free)),
  'free at most': free.length ? round(Math.max(...free)) : null,
});
