/** Programs that users would start: run to their end, with what they print. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** The repository. */
export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));
/**
 * Makes a program believe that the machine has one core, so that the model's default is one compute thread. Several wait for
 * each other by spinning: where other tests run on the same cores, each step then takes seconds.
 */
const ONE_CORE = `
import os from 'node:os';
import { syncBuiltinESMExports } from 'node:module';
os.availableParallelism = () => 1;
syncBuiltinESMExports();`;

/** A process that runs longer hangs: it is killed, and its signal says so. Busy machines are slow. */
const DEADLINE_MS = 120_000;

/** How a program ended, and what it printed. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface ProgramOptions {
  /** Default: the repository. */
  cwd?: string;
  env?: Record<string, string>;
  /** Default: none. */
  input?: string;
}

/** A program that runs. `ended` never rejects. */
export interface Program {
  child: ChildProcess;
  ended: Promise<Ending>;
  /** The first match in what it prints. Rejects when it ends without. */
  printed(pattern: RegExp): Promise<string>;
}

/** Starts node with these arguments. The program imports the package by its name, which means dist/. */
export function start(args: string[], options: ProgramOptions = {}): Program {
  if (!existsSync(`${ROOT}dist/index.js`)) throw new Error('dist/ is missing: run `npm run prepare`.');
  // By the environment, so that it reaches the programs that the program starts.
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(ONE_CORE)}`;
  const env = { ...process.env, NO_COLOR: '1', NODE_OPTIONS, ...options.env };
  const child = spawn(process.execPath, args, { cwd: options.cwd ?? ROOT, env, stdio: 'pipe' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ending: Ending = { code: null, signal: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (ending.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (ending.stderr += chunk.toString()));
  child.stdin.end(options.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
  // 'close' and not 'exit': all output has come then.
  const ended = once(child, 'close').then(([code, signal]) => {
    clearTimeout(timer);
    return Object.assign(ending, { code: code as number | null, signal: signal as NodeJS.Signals | null });
  });
  const printed = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(ending.stdout)?.[0];
        if (match !== undefined) resolve(match);
      };
      child.stdout.on('data', look);
      look();
      void ended.then(() => {
        look();
        reject(new Error(`it ended without printing ${String(pattern)}:\n${ending.stdout}${ending.stderr}`));
      });
    });
  return { child, ended, printed };
}

/** Runs node with these arguments to its end. */
export function run(args: string[], options?: ProgramOptions): Promise<Ending> {
  return start(args, options).ended;
}
