import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { greedy, openModel, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about = 'what a turn on a long session writes, of what the session’s KV takes';
export const once = true;

const TURN = 100;

/** @param {Settings} settings */
export async function run(settings) {
  const history = settings.quick ? 2000 : 8000;
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  const model = await openModel(settings, { maxResident: 2, contextTokens: 2 * history, store: folder });
  progress(`save: a session of ${history} tokens`);
  const session = await model.createSession();
  let prompt = [...promptTokens(model, history, 3)];
  await session.complete(prompt, greedy(1));
  const began = performance.now();
  await session.save();
  const wholeMs = performance.now() - began;
  const whole = model.stats().storeWriteBytes;
  const rows = [];
  for (let turn = 0; turn < (settings.quick ? 2 : 6); turn++) {
    progress(`save: turn ${turn + 1}`);
    prompt = [...prompt, ...promptTokens(model, TURN - 20, 50 + turn)];
    const reply = session.complete(prompt, greedy(20));
    for await (const piece of reply) prompt.push(...piece.tokens);
    const before = model.stats().storeWriteBytes;
    const saving = performance.now();
    await session.save();
    const written = model.stats().storeWriteBytes - before;
    rows.push({
      turn: turn + 1,
      'session MB': round(whole / 1e6, 1),
      'written MB': round(written / 1e6, 2),
      part: round(written / whole, 4),
      'save ms': round(performance.now() - saving),
      'first save ms': round(wholeMs),
    });
  }
  await model.close();
  await rm(folder, { recursive: true });
  const most = settings.quick ? 0.2 : 0.05;
  return {
    rows,
    goals: { [`a turn of ${TURN} tokens writes under ${most * 100} %`]: rows.every((row) => Number(row.part) < most) },
  };
}
