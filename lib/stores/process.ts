import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { threadId } from 'node:worker_threads';
import { codeOf } from './failure.js';

/** A process, told apart from a later one of the same number. */
export interface ProcessName {
  pid: number;
  /** When it was started, in ticks since the machine was; empty where the system doesn't tell. */
  started: string;
  /** Where its number means something: machine, boot and process namespace, as a hash. */
  place: string;
}

/** This process. */
export const self: ProcessName = { pid: process.pid, started: startOf(process.pid)?.started ?? '', place: place() };
/** This thread; 0: the main one. */
export const thread: number = threadId;

/** Whether that process has ended. Undefined: it is elsewhere, where this one can't look. */
export function ended({ pid, started, place }: ProcessName): boolean | undefined {
  if (place !== self.place) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if (codeOf(error) === 'ESRCH') return true;
  }
  const found = startOf(pid);
  if (found === undefined || started === '') return false;
  return found.started !== started || found.zombie;
}

/** For the names of files. */
export function nameOf({ pid, started, place }: ProcessName): string {
  return `${String(pid)}-${started}-${place}`;
}

export function parseName(name: string): ProcessName | undefined {
  const [, pid = '', started = '', place = ''] = /^(\d+)-(\d*)-([0-9a-f]{16})$/.exec(name) ?? [];
  return place === '' ? undefined : { pid: Number(pid), started, place };
}

/** Linux only. */
function startOf(pid: number): { started: string; zombie: boolean } | undefined {
  const stat = read(() => readFileSync(`/proc/${String(pid)}/stat`, 'latin1'));
  // The name of the program is in parentheses and may hold anything, parentheses too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, started] = [fields[0], fields[19]];
  return started === undefined ? undefined : { started, zombie: state === 'Z' || state === 'X' };
}

function place(): string {
  const boot = read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1'));
  const namespace = read(() => readlinkSync('/proc/self/ns/pid'));
  return createHash('sha256').update(`${hostname()}\n${boot}\n${namespace}`).digest('hex').slice(0, 16);
}

function read(file: () => string): string {
  try {
    return file();
  } catch {
    return '';
  }
}
