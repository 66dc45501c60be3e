import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { round } from '../measure.mjs';
import { compete, failures, inTurns, middle, shownMiddle } from '../rivals.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'tokens per second of the prebuilt binary, which chooses its CPU code when it is loaded, beside one compiled for this CPU';

const GOAL = 0.97;
const NEEDED = {
  'build/Release': 'npm run compile',
  [`prebuilds/${process.platform}-${process.arch}`]: 'npm run prebuild',
};

/** @param {Settings} settings */
export async function run(settings) {
  for (const [folder, command] of Object.entries(NEEDED)) {
    if (!existsSync(fileURLToPath(new URL(`../../${folder}`, import.meta.url))))
      return { rows: [], goals: {}, notes: [`not measured: there is no ${folder}; ${command} makes it`] };
  }
  const promptTokens = settings.quick ? 256 : 2048;
  const reading = await contest(settings, 'prefill', { sequences: 1, tokensEach: promptTokens + 512 }, (seed) => ({
    promptTokens,
    seed,
  }));
  const rows = [rowOf(`prefill of ${promptTokens} tokens`, reading)];
  const notes = failures('prefill', reading);
  for (const sessions of [1, 8]) {
    const maxTokens = settings.quick ? 32 : 160;
    const task = { sessions, promptTokens: 64, maxTokens, windowMs: 15_000 };
    const speaking = await contest(
      settings,
      'throughput',
      { sequences: sessions, tokensEach: maxTokens + 128 },
      () => task,
    );
    rows.push(rowOf(`decode, ${sessions} at once`, speaking));
    notes.push(...failures(`${sessions} at once`, speaking));
  }
  const goals = {
    [`at least ${GOAL} of a native build`]: rows.every((row) => Number(row['prebuilt / native']) >= GOAL),
  };
  return { rows, goals, notes };
}

/**
 * @param {Settings} settings
 * @param {string} task
 * @param {{ sequences: number, tokensEach: number }} room
 * @param {(run: number) => object} options
 */
function contest(settings, task, room, options) {
  let run = 0;
  const prebuilt = () => compete(settings, 'prebuilt', task, room, options(run++));
  return inTurns({ ...settings, rivals: [] }, `variant: ${task}`, task, room, options, { prebuilt });
}

/** @param {string} what @param {Record<string, any[]>} runs */
function rowOf(what, { ours, prebuilt }) {
  const rate = (/** @type {any} */ found) => found.rate;
  return {
    what,
    'native tok/s': shownMiddle(ours, rate, 1),
    'prebuilt tok/s': shownMiddle(prebuilt, rate, 1),
    'prebuilt / native': round(middle(prebuilt, rate) / middle(ours, rate), 3),
    'all ratios': ours.map((found, i) => round(rate(prebuilt[i]) / rate(found), 2) ?? '-').join(' '),
  };
}
