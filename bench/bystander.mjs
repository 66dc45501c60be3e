/**
 * When the machine itself stood still. A thread that does nothing but sleep needs no processor for long: where it wakes late,
 * nobody got one. A virtual machine can stop for tens of milliseconds, and not all of that is counted as stolen time.
 */
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const SLEEP_MS = 5;
const LATE_MS = 8; // two ticks of a kernel at 250 Hz: so long a busy processor may keep it waiting

/**
 * Watches until `end` is called.
 * @returns {Promise<{ end: () => Promise<(from: number, to: number) => number> }>} how many milliseconds of those between two
 * times of `performance.now()` were lost
 */
export async function watchMachine() {
  /** @type {{ from: number, to: number }[]} */
  const stops = [];
  const worker = new Worker(new URL(import.meta.url));
  const ready = new Promise((resolve) => worker.once('message', resolve));
  worker.on('message', (stop) => stops.push(stop));
  await ready;
  return {
    async end() {
      await worker.terminate();
      const here = stops.map(({ from, to }) => ({
        from: from - performance.timeOrigin,
        to: to - performance.timeOrigin,
      }));
      return (from, to) =>
        here.reduce((sum, stop) => sum + Math.max(0, Math.min(to, stop.to) - Math.max(from, stop.from)), 0);
    },
  };
}

function sleep() {
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  const now = () => performance.timeOrigin + performance.now(); // the origin of a worker is its own
  for (;;) {
    const expected = now() + SLEEP_MS;
    Atomics.wait(nothing, 0, 0, SLEEP_MS);
    const woken = now();
    if (woken - expected > LATE_MS) parentPort?.postMessage({ from: expected, to: woken });
  }
}

if (!isMainThread) {
  parentPort?.postMessage({ from: 0, to: 0 }); // is ready
  sleep();
}
