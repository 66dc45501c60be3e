import { watchMachine } from '../bystander.mjs';
import { gaps, interleave, median, quantile, round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { arrivalsOf, deleteSessions, greedy, openModel, openSessions, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {import('../sessions.mjs').Model} Model */

export const about = 'gaps between pieces of sessions that generate, while another prefills a long prompt';

const PREFILL_TOKENS = 7000;
const USUAL_PIECES = 40; // what the usual gap is the median of

/** @param {Settings} settings */
export async function run(settings) {
  const rows = [];
  for (const speakers of settings.sessions ?? (settings.quick ? [1] : [1, 4]))
    rows.push(await measure(settings, speakers));
  const goals = {
    'longest gap under 4 usual gaps': rows.every((row) => Number(row.longest) < 4),
    'the prefill keeps 0.6 of its speed': rows.every((row) => Number(row.kept) >= 0.6),
  };
  const note =
    'longest: the median over the repetitions, without the time in which a processor that computes stood still; as heard: with it';
  return { rows, goals, notes: [note] };
}

/**
 * @param {Settings} settings
 * @param {number} speakers sessions that generate
 */
async function measure(settings, speakers) {
  // They speak until they are cancelled; the limit only bounds the KV pool.
  const longestReply = Math.floor(8000 / speakers);
  const model = await openModel(settings, {
    maxResident: speakers + 1,
    contextTokens: PREFILL_TOKENS + 8000 + 64 * speakers + 512,
  });
  let seed = 0;
  const machine = await watchMachine(settings.threads); // all the time: who watches takes some of it
  const { alone, beside } = await interleave(settings.repetitions, {
    alone: () => {
      progress(`gap: prefill of ${PREFILL_TOKENS} tokens, alone`);
      return prefill(model, seed++);
    },
    beside: () => {
      progress(`gap: prefill of ${PREFILL_TOKENS} tokens, ${speakers} sessions generating`);
      return prefillBesideSpeakers(model, speakers, longestReply, seed++);
    },
  });
  progress('gap: the same replies with nobody beside');
  const { usualAt, longest } = await usualGaps(model, speakers, Math.max(...beside.map(({ pieces }) => pieces)));
  const lostIn = await machine.end();
  await model.close();
  const speedOf = (/** @type {number[]} */ ms) => round((PREFILL_TOKENS / median(ms)) * 1000, 0);
  const runs = beside.map(({ during }) =>
    during.map(({ from, to, piece }) => (to - from - lostIn(from, to)) / usualAt(piece)),
  );
  const heard = beside.map(({ during }) => during.map(({ from, to, piece }) => (to - from) / usualAt(piece)));
  const longestOf = (/** @type {number[][]} */ of) => round(median(of.map((run) => Math.max(...run))));
  const all = beside.flatMap(({ during }) => during);
  const times = runs.flat();
  return {
    generating: speakers,
    'usual gap ms, first': round(usualAt(0)),
    last: round(usualAt(Infinity)),
    'median beside': round(median(all.map(({ from, to }) => to - from))),
    'times usual, median': round(median(times)),
    p99: round(quantile(times, 0.99)),
    longest: longestOf(runs),
    'longest of all': round(Math.max(...times)),
    'longest as heard': longestOf(heard),
    'nobody beside, as heard': round(longest),
    'stood still, ms': round(
      all.reduce((sum, { from, to }) => sum + lostIn(from, to), 0),
      0,
    ),
    'above 4 as heard, %': round((heard.flat().filter((ratio) => ratio > 4).length / times.length) * 100, 2),
    'prefill tok/s alone': speedOf(alone),
    beside: speedOf(beside.map(({ prefillMs }) => prefillMs)),
    // Of each pair, one after the other: the machine may have been another one for the next pair.
    kept: round(median(beside.map(({ prefillMs }, i) => alone[i] / prefillMs)), 3),
  };
}

/**
 * What is usual changes as replies grow: their own history is read in each step. So it is measured at the same length, in
 * replies with nobody beside.
 * @param {Model} model
 * @param {number} count
 * @param {number} pieces of each reply
 * @returns {Promise<{ usualAt: (piece: number) => number, longest: number }>} the median of those around a piece, in
 * milliseconds; how many times that the longest of all gaps took: the machine's own part
 */
async function usualGaps(model, count, pieces) {
  const sessions = await openSessions(model, count);
  const replies = await Promise.all(
    sessions.map((session, i) => arrivalsOf(session.complete(promptTokens(model, 64, i), greedy(pieces)))),
  );
  await deleteSessions(sessions);
  const all = replies.map(({ times }) => gaps(times));
  const last = Math.min(...all.map((each) => each.length));
  const window = USUAL_PIECES / 2;
  const usualAt = (/** @type {number} */ piece) => {
    const middle = Math.min(Math.max(piece, window), last - window);
    return median(all.flatMap((each) => each.slice(middle - window, middle + window)));
  };
  const longest = Math.max(...all.flatMap((each) => each.map((gap, piece) => gap / usualAt(piece))));
  return { usualAt, longest };
}

/**
 * Milliseconds until the first token of a reply to a long prompt that nobody has sent before.
 * @param {Model} model
 * @param {number} seed
 */
async function prefill(model, seed) {
  const [session] = await openSessions(model, 1);
  const prompt = promptTokens(model, PREFILL_TOKENS, 1000 + seed);
  const started = performance.now();
  const { times } = await arrivalsOf(session.complete(prompt, greedy(1)));
  await session.delete();
  return times[0] - started;
}

/**
 * @param {Model} model
 * @param {number} count
 * @param {number} longestReply
 * @param {number} seed
 */
async function prefillBesideSpeakers(model, count, longestReply, seed) {
  const sessions = await openSessions(model, count);
  const turns = sessions.map((session, i) => session.complete(promptTokens(model, 64, i), greedy(longestReply)));
  /** @type {number[][]} */
  const heard = turns.map(() => []);
  const ends = turns.map((turn, i) => arrivalsOf(turn, ({ times }) => (heard[i] = times)));
  const enough = () => heard.every((times) => times.length > USUAL_PIECES);
  await until(enough, 60_000);

  const from = performance.now();
  const prefillMs = await prefill(model, seed);
  const to = performance.now();
  turns.forEach((turn) => turn.cancel());
  await Promise.all(ends);
  await deleteSessions(sessions);

  // A gap counts where it ends: the first one beside the prefill begins before it.
  const during = heard.flatMap((times) =>
    times
      .slice(1)
      .map((time, piece) => ({ from: Number(times[piece]), to: Number(time), piece }))
      .filter((gap) => gap.to > from && gap.from < to),
  );
  return { prefillMs, during, pieces: Math.max(...heard.map((times) => times.length)) };
}

/**
 * @param {() => boolean} condition
 * @param {number} timeoutMs
 */
async function until(condition, timeoutMs) {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error('the sessions did not generate in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
