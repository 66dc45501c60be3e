import { fork } from 'node:child_process';
import events from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quantile, round } from '../measure.mjs';
import { progress } from '../report.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'thousands of sessions on one model: told who they are, the process killed, all asked in another one';
export const once = true;

// What is asked is understood by the recall model alone; --model does not change it.
const MODEL = fileURLToPath(new URL('../../test/fixtures/recall.gguf', import.meta.url));
const PORTAL = fileURLToPath(new URL('../portal.mjs', import.meta.url));
const GIB = 2 ** 30;

/** @param {Settings} settings */
export async function run(settings) {
  const sessions = settings.quick ? 1000 : 10_000;
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  try {
    const told = await portal('tell', folder, sessions, 1);
    const bytesTold = await diskBytes(folder);
    const asked = await portal('ask', folder, sessions, 2);
    const right = asked.news.filter(({ said, wanted }) => said.join() === wanted.join());
    const others = new Set(asked.news.flatMap(({ wanted }) => wanted));
    const foreign = asked.news.filter(({ said, wanted }) =>
      said.some((text) => others.has(text) && !wanted.includes(text)),
    );
    const restores = asked.news.map(({ restoreMs }) => restoreMs);
    const modelBytes = (await stat(MODEL)).size;
    const peak = Math.max(told.peak, asked.peak);
    const row = (/** @type {string} */ phase, /** @type {typeof told} */ of) => ({
      phase,
      sessions,
      seconds: round(of.seconds, 1),
      'sessions/s': round(sessions / of.seconds, 0),
      right: phase === 'told' ? null : right.length,
      'restore p50 ms': phase === 'told' ? null : round(quantile(restores, 0.5)),
      'p99 ms': phase === 'told' ? null : round(quantile(restores, 0.99)),
      'RAM hits': of.stats.ramHits,
      'store hits': of.stats.storeHits,
      misses: of.stats.kvMisses,
      'disk MB': round((phase === 'told' ? bytesTold : asked.bytes) / 1e6, 0),
      'peak MB': round(of.peak / 1e6, 0),
    });
    const wrong = asked.news.filter((one) => !right.includes(one)).slice(0, 5);
    for (const { index, said, wanted } of wrong)
      console.error(`user ${index}: ${said.join(' ')} instead of ${wanted.join(' ')}`);
    return {
      rows: [row('told', told), row('asked after SIGKILL', asked)],
      goals: {
        [`${sessions} of ${sessions} right`]: right.length === sessions,
        'none with what another was told': foreign.length === 0,
        'the process under the model and 1 GiB': peak < modelBytes + GIB,
      },
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * @param {'tell' | 'ask'} task
 * @param {string} folder
 * @param {number} sessions
 * @param {number} seed
 */
async function portal(task, folder, sessions, seed) {
  const began = performance.now();
  const child = fork(PORTAL, [task, MODEL, folder, String(sessions), String(seed)]);
  /** @type {any[]} */
  const news = [];
  let peak = 0;
  /** @type {Record<string, number>} */
  let stats = {};
  let seconds = 0;
  child.on('message', (/** @type {any} */ message) => {
    news.push(...message.news);
    peak = Math.max(peak, message.rss);
    progress(`sessions: ${task} ${news.length} of ${sessions}, ${Math.round(peak / 1e6)} MB`);
    if (!message.done) return;
    stats = message.stats;
    seconds = (performance.now() - began) / 1000;
    // At once: what it has not written yet is lost.
    if (task === 'tell') child.kill('SIGKILL');
  });
  const [code, signal] = await events.once(child, 'exit');
  if (task === 'tell' ? signal !== 'SIGKILL' : code !== 0) throw new Error(`the process ended with ${code ?? signal}`);
  return { news, peak, stats, seconds, bytes: await diskBytes(folder) };
}

/** @param {string} folder */
async function diskBytes(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name)));
  return (await Promise.all(sizes)).reduce((sum, { blocks }) => sum + blocks * 512, 0);
}
