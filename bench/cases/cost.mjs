import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attempt } from '../limit.mjs';
import { median, round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { fastestStepMs, measureRoofline } from '../roofline.mjs';
import { arrivalsOf, commonRate, deleteSessions, greedy, openModel, openSessions, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {import('../sessions.mjs').Model} Model */

export const about =
  'milliseconds per step as work grows, beside the fastest step that memory and arithmetic of this machine allow';

const SHORT = 64;
const IDLE_TOKENS = 256;

/** @param {Settings} settings */
export async function run(settings) {
  progress('cost: bandwidth and FLOP/s');
  const measured = await attempt(() => measureRoofline(settings));
  const roofline = 'failed' in measured ? null : measured;
  const { quick } = settings;
  const of = (/** @type {number[]} */ values) => (quick ? [values[0], values[2]] : values);
  /** @type {import('../report.mjs').Row[]} */
  const rows = [];
  const add = (/** @type {string} */ grows, /** @type {number} */ to, /** @type {Step} */ step) => {
    const fastest = roofline ? fastestStepMs(roofline, step.active, step.tokens) : NaN;
    const percent = round((fastest / step.ms) * 100, 1);
    rows.push({
      point: `${grows} ${to}`,
      grows,
      to,
      'step ms': round(step.ms, 3),
      'fastest ms': round(fastest, 3),
      'of roofline %': percent,
    });
  };
  for (const active of of([1, 2, 4, 8, 16, 32])) add('active sessions', active, await whileActive(settings, active));
  for (const tokens of of([SHORT, 1024, 2048, 4096, 8192])) add('history', tokens, await withHistory(settings, tokens));
  for (const resident of of([1, 8, 16, 32, 64]))
    add('resident sessions', resident, await besideIdle(settings, resident));
  for (const stored of of([0, 100, 1000, 10_000])) add('stored sessions', stored, await besideStored(settings, stored));
  return {
    rows,
    goals: {},
    notes: [roofline ? described(roofline) : `roofline: ${/** @type {any} */ (measured).failed}`],
  };
}

/** @param {import('../roofline.mjs').Roofline} roofline */
function described({ bandwidth, triad, flops, weightBytes, kvBytes }) {
  const machine = [
    `memory ${round(bandwidth / 1e9, 1)} GB/s (triad ${round(triad / 1e9, 1)})`,
    `${round(flops / 1e9, 0)} GFLOP/s in prefill`,
    `a step reads ${round(weightBytes / 1e6, 1)} MB of weights and ${round(kvBytes / 1000, 2)} kB for each token of history`,
  ];
  return machine.join('; ');
}

/** @typedef {{ ms: number, active: number, tokens: number }} Step `tokens`: history of all who are active, halfway */

/**
 * The median of some runs: `active` sessions that have read so much speak together.
 * @param {Model} model
 * @param {Settings} settings
 * @param {number} active
 * @param {number} history
 * @returns {Promise<Step>}
 */
async function speak(model, { quick, repetitions }, active, history) {
  const maxTokens = quick ? 24 : 96;
  const ms = [];
  for (let run = 0; run < repetitions; run++) {
    const sessions = await openSessions(model, active);
    const prompts = sessions.map((_, i) => promptTokens(model, history, 100 * run + i));
    const replies = await Promise.all(
      sessions.map((session, i) => arrivalsOf(session.complete(prompts[i], greedy(maxTokens)))),
    );
    ms.push((active / commonRate(replies)) * 1000);
    await deleteSessions(sessions);
  }
  return { ms: median(ms), active, tokens: active * (history + maxTokens / 2) };
}

/** @param {Settings} settings @param {number} active */
async function whileActive(settings, active) {
  progress(`cost: ${active} active sessions`);
  const model = await openModel(settings, {
    maxResident: active,
    contextTokens: active * 256 + 256,
  });
  const step = await speak(model, settings, active, SHORT);
  await model.close();
  return step;
}

/** @param {Settings} settings @param {number} tokens */
async function withHistory(settings, tokens) {
  progress(`cost: a history of ${tokens} tokens`);
  const model = await openModel(settings, { maxResident: 1, contextTokens: tokens + 512 });
  const step = await speak(model, settings, 1, tokens);
  await model.close();
  return step;
}

/** One speaks; the others are on the device and do nothing. @param {Settings} settings @param {number} resident */
async function besideIdle(settings, resident) {
  progress(`cost: ${resident} resident sessions`);
  const model = await openModel(settings, {
    maxResident: resident,
    contextTokens: resident * (IDLE_TOKENS + 128) + 512,
    cache: { idleMs: 2 ** 31 - 1 },
  });
  const idle = await openSessions(model, resident - 1);
  await Promise.all(idle.map((session, i) => session.complete(promptTokens(model, IDLE_TOKENS, 5000 + i), greedy(1))));
  const step = await speak(model, settings, 1, SHORT);
  await deleteSessions(idle);
  await model.close();
  return step;
}

/** One speaks; so many others are in the store. @param {Settings} settings @param {number} stored */
async function besideStored(settings, stored) {
  progress(`cost: ${stored} stored sessions`);
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  const model = await openModel(settings, {
    maxResident: 1,
    contextTokens: 1024,
    store: folder,
    durability: 'none',
  });
  for (let begun = 0; begun < stored; begun += 100) {
    const messages = [{ role: /** @type {const} */ ('user'), content: `I am number ${begun}.` }];
    const some = await Promise.all(Array.from({ length: 100 }, () => model.createSession({ messages })));
    await Promise.all(some.map((session) => session.save().then(() => session.close())));
  }
  const step = await speak(model, settings, 1, SHORT);
  await model.close();
  await rm(folder, { recursive: true });
  return step;
}
