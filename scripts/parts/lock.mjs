// One build at a time per clone: two ninjas in one folder spoil each other's objects.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inRoot } from './files.mjs';

const file = inRoot('build/lock');
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
    if (owner === null || !alive(owner)) {
      fs.rmSync(file, { force: true });
    } else if (!told) {
      told = true;
      console.log(`Another build is running here (process ${owner}); waiting for it.`);
    }
  }
  process.once('exit', release);
}

function tryAcquire() {
  try {
    fs.writeFileSync(file, `${process.pid}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
}

function readOwner() {
  const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  return /^\d+$/.test(text) ? Number(text) : null;
}

export function alive(pid) {
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
