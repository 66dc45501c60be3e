import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { greedy, openModel, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {import('../sessions.mjs').Model} Model */
/** @typedef {import('../sessions.mjs').Session} Session */

export const about =
  'bringing the KV of a conversation back, beside computing it again and beside plain copies of its bytes';

const HISTORY = 2048;
const RESTORES = 5; // in each repetition: they take milliseconds

/** @param {Settings} settings */
export async function run(settings) {
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  try {
    return await measure(settings, folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * @param {Settings} settings
 * @param {string} folder
 */
async function measure(settings, folder) {
  const { repetitions } = settings;
  const open = () =>
    openModel(settings, { maxResident: 2, contextTokens: 8192, store: folder, cache: { restore: 'always' } });
  let model = await open();
  const prompt = promptTokens(model, HISTORY, 7);
  const times = { prefill: /** @type {number[]} */ ([]), ram: /** @type {number[]} */ ([]) };
  const memcpy = [];
  const copyMs = copier();
  let session = await model.createSession({ id: 'history' });
  let bytes = 0;
  for (let i = 0; i < repetitions; i++) {
    progress(`restore: from RAM, ${i + 1} of ${repetitions}`);
    // Of other tokens each time: what was computed once would be found.
    const fresh = await model.createSession();
    const { timings } = await fresh.complete(promptTokens(model, HISTORY, 100 + i), greedy(1));
    times.prefill.push(timings.prefillMs);
    await fresh.delete();

    await session.complete(prompt, greedy(1));
    for (let again = 0; again < RESTORES; again++) {
      await session.park();
      await session.save(); // the store has its pages too: nothing is being written while it comes back
      const before = model.stats();
      const { timings } = await session.complete(prompt, greedy(1));
      times.ram.push(timings.restoreMs);
      bytes = model.stats().ramHitBytes - before.ramHitBytes;
      memcpy.push(copyMs(bytes));
    }
  }
  await session.save();
  await model.close();

  const pages = join(folder, 'pages');
  /** @type {Record<string, { restore: number[], read: number[] }>} */
  const disk = { warm: { restore: [], read: [] }, cold: { restore: [], read: [] } };
  let coldness = 'page cache dropped';
  for (let i = 0; i < repetitions * RESTORES; i++) {
    for (const kind of ['warm', 'cold']) {
      progress(`restore: from disk, ${kind}, ${i + 1} of ${repetitions * RESTORES}`);
      const chill = async () => {
        if (kind === 'cold' && !(await dropFromPageCache(pages)))
          coldness = 'page cache NOT dropped: dd has no nocache here';
      };
      await chill();
      disk[kind].read.push(await readMs(pages));
      model = await open();
      session = await model.resumeSession('history');
      await chill();
      const { timings } = await session.complete(prompt, greedy(1));
      disk[kind].restore.push(timings.restoreMs);
      await model.close();
    }
  }

  const prefill = median(times.prefill);
  const row = (
    /** @type {string} */ from,
    /** @type {number[]} */ restore,
    /** @type {string} */ beside,
    /** @type {number[]} */ plain,
  ) => ({
    from,
    MB: round(bytes / 1e6, 1),
    'restore ms': round(median(restore)),
    'prefill ms': round(prefill, 0),
    'times faster': round(prefill / median(restore), 0),
    beside,
    'plain ms': round(median(plain)),
    'of plain': round(median(plain) / median(restore)),
  });
  const rows = [
    row('RAM', times.ram, 'memcpy', memcpy),
    row('disk, warm', disk.warm.restore, 'readFile', disk.warm.read),
    row(`disk, cold (${coldness})`, disk.cold.restore, 'readFile', disk.cold.read),
  ];
  const [ram, warm, cold] = rows;
  return {
    rows,
    goals: {
      'from RAM at least 100 times faster than prefill': Number(ram['times faster']) >= 100,
      'from a cold disk at least 30 times faster than prefill': Number(cold['times faster']) >= 30,
      'from RAM at least half as fast as memcpy': Number(ram['of plain']) >= 0.5,
      'from disk at least a third as fast as reading the files': [warm, cold].every(
        (one) => Number(one['of plain']) >= 0.33,
      ),
    },
  };
}

/** More than any cache holds. */
const SWEEP_BYTES = 2 ** 27;

/**
 * What one copy of so many bytes takes, between buffers that were written before, but not just now: neither the pages in RAM
 * nor the device's cells are in the processor's caches when a session comes back. The buffers are made once: giving them back
 * would be going on while the next session comes back.
 */
function copier() {
  const sweep = Buffer.alloc(SWEEP_BYTES, 1);
  let [from, to] = [Buffer.alloc(0), Buffer.alloc(0)];
  return (/** @type {number} */ bytes) => {
    if (from.length !== bytes) [from, to] = [Buffer.alloc(bytes, 1), Buffer.alloc(bytes, 2)];
    const times = [];
    for (let i = 0; i < 5; i++) {
      sweep.fill(i);
      const began = performance.now();
      from.copy(to);
      times.push(performance.now() - began);
    }
    return median(times);
  };
}

/** @param {string} folder */
async function files(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** What reading all files takes, one after the other. @param {string} folder */
async function readMs(folder) {
  const paths = await files(folder);
  const began = performance.now();
  for (const path of paths) await readFile(path);
  return performance.now() - began;
}

/** Whether the system has forgotten the files' bytes. @param {string} folder */
async function dropFromPageCache(folder) {
  try {
    for (const path of await files(folder)) {
      // POSIX_FADV_DONTNEED on the whole file, as dd's manual shows it.
      execFileSync('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' });
    }
    return true;
  } catch {
    return false;
  }
}
