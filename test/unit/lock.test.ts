/** The lock of a build (scripts/parts/lock.mjs), in a clone of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { ROOT, start, type Program } from '../support/program.js';

/** Holds the lock from 'in' to 'out'. */
const HOLD = `
import fs from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
const { locked } = await import('./scripts/parts/lock.mjs');
const [ms] = process.argv.slice(1);
await locked(async () => {
  fs.appendFileSync('log', 'in ');
  console.log('in');
  await pause(Number(ms));
  fs.appendFileSync('log', 'out ');
});`;
/** The lock that is there has this process's number. */
const AS_OURS = `
import { readFileSync, writeFileSync } from 'node:fs';
writeFileSync('build/lock', readFileSync('build/lock', 'utf8').replace(/^\\d+/, process.pid));`;
/** Stopped for a while in the middle of writing a lock. */
const SLOW_WRITES = `
import real from 'node:fs';
const { writeFileSync } = real;
real.writeFileSync = (file, content, options) => {
  if (!/build.lock/.test(file)) return writeFileSync(file, content, options);
  writeFileSync(file, '', options);
  console.log('writing');
  for (let i = 0; i < 20 && !real.existsSync('log'); i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  writeFileSync(file, content);
};`;
const NO_LINKS = `
import bare from 'node:fs';
bare.linkSync = () => { throw Object.assign(new Error('no links here'), { code: 'EPERM' }); };`;

let clone: string;
let lock: string;

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'lock-'));
  onTestFinished(() => rmSync(clone, { recursive: true }));
  lock = join(clone, 'build/lock');
  mkdirSync(join(clone, 'build'));
  for (const name of ['lock', 'files']) {
    cpSync(join(ROOT, `scripts/parts/${name}.mjs`), join(clone, `scripts/parts/${name}.mjs`));
  }
});

function hold(ms: number, before = ''): Program {
  return start(['--input-type=module', '--eval', before + HOLD, String(ms)], { cwd: clone });
}

/** A build that was killed, as it never could remove its lock. */
async function killed(): Promise<void> {
  const { child, ended, printed } = hold(1e6);
  await printed(/in/);
  child.kill('SIGKILL');
  await ended;
}

test('a build waits for another one, and says for which', async () => {
  const first = hold(1500);
  await first.printed(/in/);
  const second = hold(0);
  expect(await second.printed(/process \d+/)).toBe(`process ${first.child.pid}`);
  await second.printed(/in/);
  await Promise.all([first.ended, second.ended]);
  expect(readFileSync(join(clone, 'log'), 'utf8')).toBe('in out in out ');
  expect(existsSync(lock)).toBe(false);
});

test('of a killed build nothing is waited for', async () => {
  await killed();
  expect((await hold(0).ended).stdout).toBe('in\n');
});

test('nor when its number is ours now, as in a container that was started again', async () => {
  await killed();
  await hold(0, AS_OURS).printed(/^in/);
});

test.runIf(process.platform === 'linux')("nor when its number is another program's", async () => {
  await killed();
  writeFileSync(lock, readFileSync(lock, 'utf8').replace(/^\d+/, String(process.pid)));
  await hold(0).printed(/^in/);
});

test.runIf(process.platform === 'linux')('nor when nobody has taken note of its end', async () => {
  const unaware = `"$0" --input-type=module --eval "$1" 1000000 & exec sleep 100`;
  const shell = spawn('sh', ['-c', unaware, process.execPath, HOLD], {
    cwd: clone,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void shell.kill());
  await once(shell.stdout, 'data');
  process.kill(parseInt(readFileSync(lock, 'utf8')), 'SIGKILL');
  await hold(0).printed(/^in/);
});

test('a lock that says nothing of its owner is abandoned, after a while', async () => {
  writeFileSync(lock, '');
  utimesSync(lock, new Date(), Date.now() / 1000 - 60);
  await hold(0).printed(/^in/);
});

test.each([
  ['', ''],
  [', where the file system has no links', NO_LINKS],
])('a lock that is being written is not taken away%s', async (_, system) => {
  const slow = hold(0, system + SLOW_WRITES);
  await slow.printed(/writing/);
  const other = hold(1000);
  await Promise.all([slow.ended, other.ended]);
  expect(readFileSync(join(clone, 'log'), 'utf8')).toBe('in out in out ');
});
