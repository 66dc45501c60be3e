/** What a contestant is asked to do. All do the same, and are looked at from the same side: that of the application. */
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { commonRate } from './arrivals.mjs';
import { gaps, mean, median, quantile, sleep } from './measure.mjs';

/** @typedef {import('./contestant.mjs').Prepared} Contestant */
/** @typedef {import('./arrivals.mjs').Arrivals} Arrivals */
/** @typedef {{ slot: number, prompt: string, maxTokens: number, signal?: AbortSignal }} Turn */

const BURST_MS = 0.5; // pieces that come one after the other came together, with one step

/**
 * @param {Contestant} contestant
 * @param {Turn} turn
 * @param {Arrivals} [arrivals] filled on the way
 */
async function speak(contestant, turn, arrivals = { times: [], tokens: [] }) {
  const onPiece = (/** @type {number} */ tokens) => {
    arrivals.times.push(performance.now());
    arrivals.tokens.push(tokens);
  };
  await contestant.speak({ ...turn, onPiece });
  return arrivals;
}

/** Until the first token of a reply. @param {Contestant} contestant @param {number} slot @param {string} prompt */
async function firstTokenMs(contestant, slot, prompt) {
  const began = performance.now();
  const { times } = await speak(contestant, { slot, prompt, maxTokens: 1 });
  if (times.length === 0) throw new Error('a reply without any token');
  return times[0] - began;
}

/**
 * Tokens per second while all speak, for `maxTokens` each or until `windowMs` after the last one has begun; and of their
 * prompts, from the beginning until the last one speaks.
 * The delay of the event loop is watched where it is asked for: the watch wakes up a thousand times a second, which takes some
 * hundredths of the speed.
 * @param {Contestant} contestant
 * @param {Together & { windowMs: number, watch?: boolean }} options
 */
export async function throughput(contestant, { windowMs, watch, ...options }) {
  const watched = watch && (await watchLoop());
  const { replies, all, began, prefilled } = await together(contestant, options);
  await Promise.race([all, sleep(windowMs)]);
  const threads = contestant.threads?.();
  const loop = watched && (await watched());
  const begun = Math.max(...replies.map(({ times }) => times[0]));
  const rate = commonRate(replies);
  if (Number.isNaN(rate)) throw new Error('they never spoke all together');
  return { rate, prefillRate: (prefilled / (begun - began)) * 1000, threads, loop };
}

/**
 * What a piece costs the JavaScript thread, in microseconds of its own CPU time, while all speak; and what that thread takes to
 * wake up for nothing, between the steps of the same model: in every other window a timer without work wakes it up too.
 * @param {Contestant} contestant
 * @param {Together & { windows: number, windowMs: number, tickMs: number }} options
 */
export async function crossing(contestant, { windows, windowMs, tickMs, ...options }) {
  const { replies, all } = await together(contestant, options);
  const ended = all.then(() => true);
  const [plain, ticking] = [0, tickMs].map((every) => ({ every, cpuUs: 0, pieces: 0, bursts: 0, ticks: 0, ms: 0 }));
  for (let i = 0; i < windows; i++) {
    const sum = i % 2 === 0 ? plain : ticking;
    let ticks = 0;
    const timer = sum.every > 0 && setInterval(() => ticks++, sum.every);
    const [cpuBefore, from] = [threadCpuUs(), performance.now()];
    const over = await Promise.race([ended, sleep(windowMs)]);
    const cpuUs = threadCpuUs() - cpuBefore;
    if (timer) clearInterval(timer);
    if (over) break; // not all of them spoke until its end
    const times = replies.flatMap((reply) => reply.times.filter((time) => time >= from)).sort((a, b) => a - b);
    sum.cpuUs += cpuUs;
    sum.pieces += times.length;
    sum.bursts += 1 + gaps(times).filter((gap) => gap > BURST_MS).length;
    sum.ticks += ticks;
    sum.ms += performance.now() - from;
  }
  const usPerPiece = plain.cpuUs / plain.pieces;
  return {
    usPerPiece,
    usPerTick: (ticking.cpuUs - ticking.pieces * usPerPiece) / ticking.ticks,
    piecesAtOnce: plain.pieces / plain.bursts,
    threadLoad: plain.cpuUs / 1000 / plain.ms,
    rate: (plain.pieces / plain.ms) * 1000,
  };
}

/** @typedef {{ sessions: number, promptTokens: number, maxTokens: number }} Together */

/**
 * All of them speak.
 * @param {Contestant} contestant
 * @param {Together} options
 * @returns {Promise<{ replies: Arrivals[], all: Promise<unknown>, began: number, prefilled: number }>} when each has a first piece
 */
async function together(contestant, { sessions, promptTokens, maxTokens }) {
  const prompts = Array.from({ length: sessions }, (_, i) => contestant.text(i, promptTokens));
  let prefilled = 0;
  for (const prompt of prompts) prefilled += await contestant.count(prompt);
  const replies = prompts.map(() => /** @type {Arrivals} */ ({ times: [], tokens: [] }));
  const began = performance.now();
  const all = Promise.all(prompts.map((prompt, slot) => speak(contestant, { slot, prompt, maxTokens }, replies[slot])));
  all.catch(() => undefined); // awaited by the caller
  await Promise.race([all, untilAll(replies, 1)]);
  return { replies, all, began, prefilled };
}

/** @param {Arrivals[]} replies @param {number} count pieces of each */
async function untilAll(replies, count) {
  while (replies.some(({ times }) => times.length < count)) await sleep(5);
}

/**
 * What the JavaScript thread has computed so far, in microseconds. Linux tells it for each thread, to the nanosecond; NaN where
 * nobody does.
 */
function threadCpuUs() {
  // Of Node 23 and later.
  const usage = /** @type {any} */ (process).threadCpuUsage?.();
  if (usage) return usage.user + usage.system;
  if (process.platform !== 'linux') return NaN;
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
}

/**
 * Tokens per second of one prompt that nobody has sent before, until its reply begins.
 * @param {Contestant} contestant
 * @param {{ promptTokens: number, seed: number }} options
 */
export async function prefill(contestant, { promptTokens, seed }) {
  const prompt = contestant.text(seed, promptTokens);
  const tokens = await contestant.count(prompt);
  return { rate: (tokens / (await firstTokenMs(contestant, 0, prompt))) * 1000 };
}

/**
 * How long somebody waits for the first token, when nobody else is there and when all other sequences read long prompts.
 * @param {Contestant} contestant
 * @param {{ times: number, others: number, promptTokens: number, otherTokens: number }} options
 */
export async function firstToken(contestant, { times, others, promptTokens, otherTokens }) {
  let seed = 0;
  const idle = [];
  for (let i = 0; i < times; i++) idle.push(await firstTokenMs(contestant, 0, contestant.text(seed++, promptTokens)));
  const busy = [];
  for (let i = 0; i < times; i++) {
    const leaving = new AbortController();
    const turns = Array.from({ length: others }, (_, k) =>
      speak(contestant, {
        slot: k + 1,
        prompt: contestant.text(seed++, otherTokens),
        maxTokens: 1000,
        signal: leaving.signal,
      }),
    );
    await sleep(100);
    busy.push(await firstTokenMs(contestant, 0, contestant.text(seed++, promptTokens)));
    leaving.abort();
    await Promise.all(turns);
  }
  return { idle, busy };
}

/**
 * Gaps between the pieces of those who speak, while somebody else's long prompt is read.
 * @param {Contestant} contestant
 * @param {{ speakers: number, prefillTokens: number, maxTokens: number, usualPieces: number }} options
 */
export async function gap(contestant, { speakers, prefillTokens, maxTokens, usualPieces }) {
  const aloneMs = await firstTokenMs(contestant, speakers, contestant.text(1000, prefillTokens));
  const leaving = new AbortController();
  const replies = Array.from({ length: speakers }, () => /** @type {Arrivals} */ ({ times: [], tokens: [] }));
  const turns = replies.map((reply, slot) =>
    speak(contestant, { slot, prompt: contestant.text(slot, 64), maxTokens, signal: leaving.signal }, reply),
  );
  await Promise.race([untilAll(replies, usualPieces), Promise.all(turns)]);
  const from = performance.now();
  const besideMs = await firstTokenMs(contestant, speakers, contestant.text(2000, prefillTokens));
  const to = performance.now();
  leaving.abort();
  await Promise.race([Promise.all(turns), sleep(2000)]);
  // The mean: where pieces of two steps arrive together, every other gap is none.
  const usual = mean(replies.flatMap(({ times }) => gaps(times.filter((time) => time <= from)).slice(1)));
  // A gap counts where it ends: the first one beside the prefill begins before it.
  const during = replies.flatMap(({ times }) => gaps(times).filter((_, i) => times[i + 1] > from && times[i] < to));
  if (during.length === 0)
    throw new Error(`nobody heard anything from ${Math.round(to - from)} ms before the prefill's end on`);
  return { usual, longest: Math.max(...during), p99: quantile(during, 0.99), aloneMs, besideMs };
}

/**
 * From the cancel until the turn has ended, and until somebody new has a first token, less what that takes anyway.
 * @param {Contestant} contestant
 * @param {{ times: number, promptTokens: number, maxTokens: number, afterMs: number }} options `afterMs`: when it is cancelled
 */
export async function cancel(contestant, { times, promptTokens, maxTokens, afterMs }) {
  let seed = 0;
  const probe = () => firstTokenMs(contestant, 1, contestant.text(seed++, 8));
  const usual = median([await probe(), await probe(), await probe()]);
  const [resolved, free] = [[], []].map(() => /** @type {number[]} */ ([]));
  for (let i = 0; i < times; i++) {
    const leaving = new AbortController();
    const turn = speak(contestant, {
      slot: 0,
      prompt: contestant.text(seed++, promptTokens),
      maxTokens,
      signal: leaving.signal,
    });
    await sleep(afterMs + (afterMs * i) / (2 * times)); // not always at the same place of a step
    const began = performance.now();
    const probed = probe();
    leaving.abort();
    await turn;
    resolved.push(performance.now() - began);
    free.push((await probed) - usual);
  }
  return { resolved, free };
}

/**
 * One sequence, which somebody else has: from the cancel of a turn that waits until it has ended.
 * @param {Contestant} contestant
 * @param {{ times: number, maxTokens: number, afterMs: number }} options
 */
export async function cancelQueued(contestant, { times, maxTokens, afterMs }) {
  if (!contestant.queues) return { failed: 'it has no queue' };
  const leaving = new AbortController();
  const speaking = speak(contestant, { slot: 0, prompt: contestant.text(0, 64), maxTokens, signal: leaving.signal });
  const resolved = [];
  for (let i = 0; i < times; i++) {
    const waiting = new AbortController();
    const turn = speak(contestant, { slot: 1, prompt: contestant.text(i + 1, 64), maxTokens, signal: waiting.signal });
    await sleep(afterMs);
    const began = performance.now();
    waiting.abort();
    await turn;
    resolved.push(performance.now() - began);
  }
  leaving.abort();
  await speaking;
  return { resolved };
}

/**
 * A session of so many tokens: its state to a file, gone from the context, and back.
 * @param {Contestant} contestant
 * @param {{ promptTokens: number }} options
 */
export async function move(contestant, { promptTokens }) {
  if (!contestant.move) return { failed: 'it can’t' };
  const prompt = contestant.text(7, promptTokens);
  return { tokens: await contestant.count(prompt), ...(await contestant.move(prompt)) };
}

/**
 * Delay of the event loop from now until the returned function is called. The histogram counts from its second timer on, so it is
 * given some before the work begins: a block at the very beginning would not be seen.
 */
export async function watchLoop() {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await sleep(20);
  delay.reset();
  return async () => {
    await sleep(10); // nor would one at the very end
    delay.disable();
    const [p50, p99] = [50, 99].map((percent) => delay.percentile(percent) / 1e6);
    return { p50, p99, max: delay.max / 1e6 };
  };
}
