/** Processes that use a directory of sessions, and end in the middle of it. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { within } from './deadline.js';
import { ROOT } from './program.js';
import { RECALL } from './recall.js';

const LIBRARY = pathToFileURL(join(ROOT, 'dist/index.js')).href;

/** Starts a program of this folder; killed after the test. */
export function startChild(name: string, args: readonly string[]): ChildProcess {
  const child = fork(join(import.meta.dirname, name), [LIBRARY, RECALL, ...args], { execArgv: [] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** Ends it at once. It must have been running. */
export async function kill(child: ChildProcess): Promise<void> {
  expect([child.exitCode, child.signalCode]).toEqual([null, null]);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

interface Line<T> {
  id?: string;
  begun?: T | null;
  done?: T | null;
  wrong?: string;
}

/** What each session may be, after what a log says: what was acknowledged last, or what was on its way. */
export async function possible<T>(log: string): Promise<Map<string, (T | null)[]>> {
  const states = new Map<string, (T | null)[]>();
  for (const line of (await readFile(log, 'utf8')).split('\n').filter(Boolean)) {
    const { id = '', begun, done, wrong } = JSON.parse(line) as Line<T>;
    expect(wrong).toBeUndefined();
    if (begun !== undefined) states.set(id, [...(states.get(id) ?? [null]).slice(0, 1), begun]);
    if (done !== undefined) states.set(id, [done]);
  }
  return states;
}

/** Another process that has sessions of a directory (owner-child.mjs). */
export class Owner {
  readonly child: ChildProcess;
  #calls = 0;

  constructor(store: string) {
    this.child = startChild('owner-child.mjs', [store]);
  }

  /** Rejects with the code of the error there. */
  async ask(step: 'create' | 'resume' | 'send' | 'state' | 'written' | 'close', ...given: unknown[]): Promise<unknown> {
    const number = ++this.#calls;
    const { child } = this;
    const answer = new Promise((resolve, reject) => {
      const onMessage = ([answered, result, code]: [number, unknown, string?]): void => {
        if (answered !== number) return;
        child.off('message', onMessage);
        if (code === undefined) resolve(result);
        else reject(Object.assign(new Error(code), { code }));
      };
      child.on('message', onMessage);
      child.once('exit', () => reject(new Error(`the owner ended before it answered ${step}`)));
    });
    child.send([number, step, ...given]);
    return within(`${step} in another process`, answer, 30_000);
  }
}
