import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { deleteSessions, greedy, openModel, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about = 'sessions with the same long system prompt, beside sessions that have one each';
export const once = true;

const OWN = 32;
const REPLY = 8;

/** @param {Settings} settings */
export async function run(settings) {
  const sessions = settings.quick ? 10 : 100;
  const prefix = settings.quick ? 512 : 2048;
  // Prefill without sharing is measured on fewer sessions, and counted up: it would take many minutes.
  const few = settings.quick ? 2 : 4;
  const shared = await measure(settings, sessions, prefix, true);
  const apart = await measure(settings, few, prefix, false);
  const apartSeconds = (apart.seconds * sessions) / few;
  const rows = [
    { sessions, prefix: 'shared', ...shared.row, seconds: round(shared.seconds, 1) },
    { sessions: few, prefix: 'one each', ...apart.row, seconds: round(apart.seconds, 1) },
    {
      sessions,
      prefix: 'one each (counted up)',
      seconds: round(apartSeconds, 1),
      'times slower': round(apartSeconds / shared.seconds, 1),
    },
  ];
  const own = sessions * OWN;
  return {
    rows,
    goals: {
      'prefilled: the prefix once, and what is each one’s own': Number(shared.row.prefilled) <= prefix + own,
      'on the device once': shared.cells < prefix + sessions * (OWN + REPLY) + sessions,
      'in RAM once': shared.ramTokens < prefix + sessions * (OWN + REPLY) + sessions,
      'on disk once': shared.diskTokens < prefix + sessions * (OWN + REPLY) + sessions,
    },
  };
}

/**
 * @param {Settings} settings
 * @param {number} count
 * @param {number} prefix tokens
 * @param {boolean} same
 */
async function measure(settings, count, prefix, same) {
  progress(`shared-prefix: ${count} sessions, ${same ? 'the same prefix' : 'one each'}`);
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  const model = await openModel(settings, {
    maxResident: Math.min(count, 128),
    contextTokens: same ? prefix + count * (OWN + REPLY + 16) + 1024 : count * (prefix + 256),
    store: folder,
    cache: { restore: 'always' },
  });
  const sessions = await Promise.all(Array.from({ length: count }, () => model.createSession()));
  const common = promptTokens(model, prefix, 1);
  const began = performance.now();
  await Promise.all(
    sessions.map((session, i) => {
      const beginning = same ? common : promptTokens(model, prefix, 1000 + i);
      return session.complete([...beginning, ...promptTokens(model, OWN, 2000 + i)], greedy(REPLY));
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  const after = model.stats();
  await Promise.all(sessions.map((session) => session.park()));
  const parked = model.stats();
  for (const session of sessions) await session.save();
  const saved = model.stats();
  const bytesPerToken = await kvBytesPerToken(model, prefix);
  const row = {
    prefilled: after.prefilledTokens,
    'of prompt tokens': count * (prefix + OWN),
    cells: after.usedCells,
    'RAM MB': round(parked.ramKvBytes / 1e6, 1),
    'disk MB': round(saved.storeWriteBytes / 1e6, 1),
  };
  await deleteSessions(sessions);
  await model.close();
  await rm(folder, { recursive: true });
  return {
    seconds,
    row,
    cells: after.usedCells,
    ramTokens: parked.ramKvBytes / bytesPerToken,
    diskTokens: saved.storeWriteBytes / bytesPerToken,
  };
}

/**
 * From what one parked session takes.
 * @param {import('../sessions.mjs').Model} model
 * @param {number} tokens
 */
async function kvBytesPerToken(model, tokens) {
  const session = await model.createSession();
  const before = model.stats().ramKvBytes;
  await session.complete(promptTokens(model, tokens, 99), greedy(1));
  await session.park();
  const bytes = model.stats().ramKvBytes - before;
  await session.delete();
  return bytes / tokens;
}
