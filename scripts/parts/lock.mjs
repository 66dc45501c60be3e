// One build at a time per clone: two ninjas in one folder spoil each other's objects.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inRoot, modified } from './files.mjs';

const file = inRoot('build/lock');
/** This process: its number, and when it was started, as numbers are given again. */
const self = `${process.pid}-${startOf(process.pid)}`;
const mostMsToWrite = 10_000;
let held = 0;

export async function locked(work) {
  if (held === 0) await acquire();
  held++;
  try {
    return await work();
  } finally {
    if (--held === 0) release();
  }
}

async function acquire() {
  fs.mkdirSync(inRoot('build'), { recursive: true });
  for (let told = false; !tryAcquire(); await sleep(500)) {
    const owner = readOwner();
    if (hasEnded(owner)) {
      fs.rmSync(file, { force: true });
    } else if (owner.pid && !told) {
      told = true;
      console.log(`Another build is running here (process ${owner.pid}); waiting for it.`);
    }
  }
  process.once('exit', release);
}

function tryAcquire() {
  const whole = `${file}.${self}`;
  fs.writeFileSync(whole, self);
  try {
    create(whole);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    fs.rmSync(whole, { force: true });
  }
}

/** With all its content at once: in an empty lock nobody sees whose it is. */
function create(whole) {
  try {
    fs.linkSync(whole, file);
  } catch (error) {
    if (error.code === 'EEXIST') throw error;
    fs.writeFileSync(file, self, { flag: 'wx' }); // a file system without links
  }
}

/** `pid` is 0 where the lock doesn't say whose it is. */
function readOwner() {
  let text = '';
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  const [, pid, started] = /^(\d+)-(\d*)$/.exec(text) ?? [];
  return { pid: Number(pid ?? 0), started };
}

function hasEnded({ pid, started }) {
  // It may just be written, where there are no links.
  if (pid === 0) return Date.now() - modified(file) > mostMsToWrite;
  // Ours, which we don't hold: of a process that had our number before, in a container that was killed.
  if (pid === process.pid || !alive(pid)) return true;
  const found = startOf(pid);
  return started !== '' && found !== '' && found !== started;
}

/** In ticks since the machine was; empty where the system doesn't tell. */
function startOf(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name of the program is in parentheses and may hold anything, parentheses too.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return /[ZX]/.test(state) ? 'ended' : fields[18];
  } catch {
    return '';
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function release() {
  process.removeListener('exit', release);
  fs.rmSync(file, { force: true });
}
