/** Who is compared, how rivals come here, and one measurement of one of them. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { npm } from '../scripts/parts/process.mjs';
import { MARK } from './contestant.mjs';
import { buildTool } from './limit.mjs';
import { interleave, median, round } from './measure.mjs';
import { progress } from './report.mjs';

/** @typedef {import('./sessions.mjs').Settings} Settings */

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const PROGRAM = fileURLToPath(new URL('contestant.mjs', import.meta.url));

/** Names of the files in rivals/, and how each is made ready. */
const READY = {
  'node-llama-cpp': () => installPackage('node-llama-cpp'),
  fugood: () => installPackage('@fugood/llama.node'),
  'llama-server': () => buildTool('llama-server'),
};
export const RIVALS = Object.keys(READY);

/**
 * How Node is started for a task. Some seconds after a program has begun V8 collects all of its memory once, to give some back: 40 ms
 * on a slow machine, as much as 4,000 pieces.
 * @type {Record<string, string[]>}
 */
const NODE_FLAGS = { crossing: ['--no-memory-reducer'] };

/** @type {Map<string, Promise<unknown>>} */
const made = new Map();

/**
 * `found` of tasks.mjs, or why there is none. Nothing that a rival does ends the bench.
 * @param {Settings} settings
 * @param {string} name 'ours', 'prebuilt' or one of RIVALS
 * @param {string} task
 * @param {{ sequences: number, tokensEach: number, quiet?: boolean }} room
 * @param {object} [options] what the task takes
 * @returns {Promise<any>}
 */
export async function compete(settings, name, task, room, options = {}) {
  try {
    if (name in READY) await ready(/** @type {keyof typeof READY} */ (name));
    const { model, threads, batchTokens, kvLayout, folder } = settings;
    const open = { model, threads, batchTokens, ...room, ...(kvLayout && { kvLayout }), ...(folder && { folder }) };
    return await assigned({ name, task, open, with: options }, settings.timeoutMs);
  } catch (error) {
    return { failed: /** @type {Error} */ (error).message };
  }
}

/**
 * Ours and its rivals in turns, and whoever else is measured by other means.
 * @param {Settings} settings
 * @param {string} title for the progress line
 * @param {string} task
 * @param {{ sequences: number, tokensEach: number, quiet?: boolean }} room
 * @param {object | ((run: number) => object)} options what the task takes
 * @param {Record<string, () => Promise<any>>} [others]
 * @returns {Promise<Record<string, any[]>>}
 */
export function inTurns(settings, title, task, room, options, others = {}) {
  const contestant = (/** @type {string} */ name) => {
    let run = 0;
    return () => compete(settings, name, task, room, typeof options === 'function' ? options(run++) : options);
  };
  const runs = {
    ours: contestant('ours'),
    ...others,
    ...Object.fromEntries(settings.rivals.map((name) => [name, contestant(name)])),
  };
  const announced = Object.entries(runs).map(([name, run]) => [
    name,
    () => {
      progress(`${title}: ${name}`);
      return run();
    },
  ]);
  return interleave(settings.repetitions, Object.fromEntries(announced));
}

/** The median of what was found by the runs that did not fail; NaN: all did. @param {any[]} runs @param {(found: any) => number} value */
export const middle = (runs, value) =>
  median(
    runs
      .filter(({ failed }) => !failed)
      .map(value)
      .filter(Number.isFinite),
  );

/** The same, as a table shows it; null: all did. @param {any[]} runs @param {(found: any) => number} value @param {number} [digits] */
export const shownMiddle = (runs, value, digits) => round(middle(runs, value), digits);

/**
 * Says which runs failed, and why.
 * @param {string} what
 * @param {Record<string, { failed?: string }[]>} runs
 * @returns {string[]}
 */
export function failures(what, runs) {
  return Object.entries(runs).flatMap(([who, found]) => {
    const reasons = [...new Set(found.flatMap(({ failed }) => failed ?? []))];
    const count = found.filter(({ failed }) => failed).length;
    return count > 0 ? [`${what}, ${who}: ${count} of ${found.length} runs failed: ${reasons.join('; ')}`] : [];
  });
}

/** @param {keyof typeof READY} name */
function ready(name) {
  const making = made.get(name) ?? READY[name]();
  made.set(name, Promise.resolve(making));
  return making;
}

/** @type {Promise<void> | undefined} */
let installing;

/** @param {string} name */
async function installPackage(name) {
  if (existsSync(`${FOLDER}node_modules/${name}/package.json`)) return;
  await (installing ??= (async () => {
    progress('installing the rivals, once, in bench/node_modules');
    const [command, first] = npm();
    // node-llama-cpp brings its binaries as packages; what its script would fetch and compile beside them is not needed.
    const env = { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' };
    const { status } = spawnSync(command, [...first, 'install', '--no-audit', '--no-fund', '--prefix', FOLDER], {
      env,
      stdio: ['ignore', process.stderr, process.stderr],
    });
    if (status !== 0) throw new Error(`npm install of the rivals ended with ${status}`);
  })());
}

/**
 * @param {import('./contestant.mjs').Assignment} assignment
 * @param {number} timeoutMs
 */
function assigned(assignment, timeoutMs) {
  return new Promise((resolve, reject) => {
    // A group of its own: llama-server goes when its client does.
    const args = [...(NODE_FLAGS[assignment.task] ?? []), PROGRAM, JSON.stringify(assignment)];
    const child = spawn(process.execPath, args, { detached: true });
    const end = () => killGroup(/** @type {number} */ (child.pid));
    process.on('exit', end);
    let [out, log] = ['', ''];
    child.stdout.on('data', (part) => (out += part));
    child.stderr.on('data', (part) => (log = (log + part).slice(-4000)));
    child.on('error', reject);
    const timer = setTimeout(end, timeoutMs);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      end();
      process.off('exit', end);
      const line = out.split('\n').findLast((text) => text.startsWith(MARK));
      if (line) return resolve(JSON.parse(line.slice(MARK.length)));
      if (signal === 'SIGKILL') return resolve({ failed: `nothing within ${timeoutMs / 1000} s` });
      const last = log.trim().split('\n').slice(-2).join(' ');
      resolve({ failed: `ended with ${signal ?? code}${last && `: ${last}`}` });
    });
  });
}

/** @param {number} pid */
function killGroup(pid) {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL');
  } catch {
    // all of them have ended
  }
}

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.once(signal, () => process.exit(130));
