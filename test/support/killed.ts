/** Processes that use a directory of sessions, and end in the middle of it. */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { onTestFinished } from 'vitest';
import { within } from './deadline.js';
import { ROOT } from './program.js';
import { RECALL } from './recall.js';

/** What processes load that are no tests. */
export const LIBRARY: string = pathToFileURL(join(ROOT, 'dist/index.js')).href;

/** Starts a program of this folder; killed after the test. */
function startChild(name: string, args: readonly string[]): ChildProcess {
  const child = fork(join(import.meta.dirname, name), [LIBRARY, RECALL, ...args], { execArgv: [] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
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
