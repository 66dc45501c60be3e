/**
 * When the machine itself stood still. A process that does nothing but sleep needs no processor for long: where it wakes late,
 * there was none. A virtual machine can stop for tens of milliseconds, one processor of it or all, and not all of that is counted as stolen.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** @typedef {{ from: number, to: number }} Stop between two times of `clock` */

const SLEEP_MS = 5;
const LATE_MS = 8; // two ticks of a kernel at 250 Hz: so long a busy processor may keep it waiting

/** Milliseconds of the clock that all processes share. */
const clock = () => Number(process.hrtime.bigint()) / 1e6;

/**
 * Watches until `end` is called. A step waits for the last one of its threads: where these take all processors each of them is
 * watched, or else whether there is any.
 * @param {number} threads that compute
 * @returns {Promise<{ end: () => Promise<(from: number, to: number) => number> }>} how many milliseconds of those between two
 * times of `performance.now()` were lost
 */
export async function watchMachine(threads) {
  const processors = allowedProcessors();
  const all = processors.length <= threads ? processors : [];
  const watchers = await Promise.all(all.length > 0 ? all.map(watcherOn) : [watcherOn()]);
  return {
    async end() {
      const seen = await Promise.all(watchers.map((end) => end()));
      const stops = merged(seen.flat());
      const sinceStart = clock() - performance.now();
      return (from, to) =>
        stops.reduce((lost, stop) => lost + overlap(stop, { from: from + sinceStart, to: to + sinceStart }), 0);
    },
  };
}

/** Those this process may use, where the system tells. @returns {number[]} */
function allowedProcessors() {
  if (process.platform !== 'linux') return [];
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/**
 * @param {number} [processor] any of them by default
 * @returns {Promise<() => Promise<Stop[]>>} ends it, and says what it saw
 */
async function watcherOn(processor) {
  const command = [process.execPath, fileURLToPath(import.meta.url)];
  const [program, ...args] = processor === undefined ? command : ['taskset', '-c', String(processor), ...command];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout);
  const ended = once(lines, 'close');
  /** @type {Stop[]} */
  const stops = [];
  lines.on('line', (line) => {
    const [from, to] = line.split(' ').map(Number);
    stops.push({ from, to });
  });
  await once(child, 'spawn');
  const failed = ended.then(() => Promise.reject(new Error(`${program} can't watch the machine.`)));
  await Promise.race([once(lines, 'line'), failed]);
  return async () => {
    child.kill();
    await ended;
    return stops;
  };
}

/** What is in any of them, once. @param {Stop[]} stops */
function merged(stops) {
  /** @type {Stop[]} */
  const result = [];
  for (const { from, to } of stops.sort((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else result.push({ from, to });
  }
  return result;
}

/** @param {Stop} a @param {Stop} b */
const overlap = (a, b) => Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from));

/** Says when it woke late. It does nothing else, and as little as that needs: it takes its time from those who compute. */
function watch() {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const parent = process.ppid;
  writeSync(1, '0 0\n'); // is ready
  while (process.ppid === parent) {
    const expected = clock() + SLEEP_MS;
    Atomics.wait(never, 0, 0, SLEEP_MS);
    const woken = clock();
    if (woken - expected > LATE_MS) writeSync(1, `${expected} ${woken}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) watch();
