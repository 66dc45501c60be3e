import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { failures, inTurns, shownMiddle } from '../rivals.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {Record<string, any[]>} Runs */

export const about =
  'what gap and restore ask, asked of the rivals too: 4 speak while a long prompt is read; a session goes to a file and comes back';

const SPEAKERS = 4;

/** @param {Settings} settings */
export async function run(settings) {
  const prefillTokens = settings.quick ? 1000 : 7000;
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  const gaps = await inTurns(
    settings,
    `gap beside a prefill of ${prefillTokens} tokens`,
    'gap',
    { sequences: SPEAKERS + 1, tokensEach: prefillTokens + 512 },
    { speakers: SPEAKERS, prefillTokens, maxTokens: prefillTokens, usualPieces: settings.quick ? 10 : 30 },
  );
  const promptTokens = settings.quick ? 500 : 2048;
  const moves = await inTurns(
    { ...settings, folder },
    `state of ${promptTokens} tokens`,
    'move',
    { sequences: 2, tokensEach: promptTokens + 512 },
    { promptTokens },
  );
  await rm(folder, { recursive: true });
  const rows = Object.keys(gaps).map((who) => ({ who, ...gapOf(gaps[who], prefillTokens), ...moveOf(moves[who]) }));
  return { rows, goals: {}, notes: [...failures('gap', gaps), ...failures('state', moves)] };
}

/** @param {any[]} found @param {number} tokens */
const gapOf = (found, tokens) => ({
  'usual gap ms': shownMiddle(found, ({ usual }) => usual) ?? 'failed',
  'longest gap ms': shownMiddle(found, ({ longest }) => longest),
  'in usual gaps': shownMiddle(found, ({ longest, usual }) => longest / usual, 1),
  'prefill tok/s alone': shownMiddle(found, ({ aloneMs }) => (tokens / aloneMs) * 1000, 0),
  beside: shownMiddle(found, ({ besideMs }) => (tokens / besideMs) * 1000, 0),
});

/** @param {any[]} found */
const moveOf = (found) => ({
  'state MB': shownMiddle(found, ({ bytes }) => bytes / 1e6, 1),
  'save ms': shownMiddle(found, ({ saveMs }) => saveMs, 1),
  'restore ms': shownMiddle(found, ({ restoreMs }) => restoreMs, 1),
});
