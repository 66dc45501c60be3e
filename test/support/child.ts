/** Processes of their own, for what only a process can show: exit codes, crashes, workers, garbage collection. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { onTestFinished } from 'vitest';
import { RECALL } from './recall.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Plain JavaScript, which a bare node runs. `npm test` compiles it before the tests; with vitest alone, run `npm run prepare`. */
const dist = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
/** A process that runs longer hangs: it is killed, and its signal says so. */
const DEADLINE_MS = 50_000;

const PRELUDE = `
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { loadModel } from ${JSON.stringify(pathToFileURL(dist))};
const RECALL = ${JSON.stringify(RECALL)};
const load = (options) => loadModel(RECALL, { threads: 1, contextTokens: 8192, maxResident: 4, ...options });
const LONG = { ignoreEog: true, maxTokens: 1900, sampling: { temperature: 0 } };
const PROMPT = Array.from({ length: 1900 }, (_, i) => 300 + (i % 500));
const until = async (isSo) => { while (!isSo()) await pause(2); };
const spoken = (model, more = 5) => until(() => model.stats().generatedTokens > more);
/** A worker that runs \`body\`, an async function's, with the same names as here. */
const work = (body) => new Worker(\`(async () => {
  const { setTimeout: pause } = await import('node:timers/promises');
  const { parentPort } = await import('node:worker_threads');
  const { DirectoryStore, loadModel } = await import(${JSON.stringify(pathToFileURL(dist))});
  const load = (options) => loadModel(${JSON.stringify(RECALL)}, { threads: 1, contextTokens: 8192, maxResident: 4, ...options });
  const LONG = { ignoreEog: true, maxTokens: 1900, sampling: { temperature: 0 } };
  const PROMPT = Array.from({ length: 1900 }, (_, i) => 300 + (i % 500));
  const say = (message) => parentPort.postMessage(message);
  const until = async (isSo) => { while (!isSo()) await pause(2); };
  const spoken = (model, more = 5) => until(() => model.stats().generatedTokens > more);
  \${body}
})()\`, { eval: true });
const said = (worker, what) => new Promise((resolve, reject) => {
  worker.on('message', (message) => message === what && resolve());
  worker.on('error', reject);
  worker.on('exit', (code) => reject(new Error('the worker ended with ' + code + ' before it said ' + what)));
});
const exited = (worker) => new Promise((resolve) => worker.on('exit', resolve));
`;

/** How a process ended, and what it printed. */
export interface Ending {
  code: number | null;
  /** SIGKILL: it was still running at the deadline. */
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  ms: number;
}

export interface ChildOptions {
  /** Of node itself. */
  flags?: string[];
  /** The user to run as. */
  uid?: number;
  /** Told of each chunk of output. */
  onOutput?: (output: string, child: ChildProcess) => void;
}

/** Runs an ES module given as text, with the names of the prelude, to its end. */
export async function runChild(script: string, options: ChildOptions = {}): Promise<Ending> {
  if (!existsSync(dist)) throw new Error('dist/ is missing: run `npm run prepare`.');
  const began = performance.now();
  const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
  const args = [...(options.flags ?? []), '--input-type=module', '--eval', PRELUDE + script];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...identity });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ending: Ending = { code: null, signal: null, stdout: '', stderr: '', ms: 0 };
  child.stdout.on('data', (chunk: Buffer) => {
    ending.stdout += chunk.toString();
    options.onOutput?.(ending.stdout, child);
  });
  child.stderr.on('data', (chunk: Buffer) => (ending.stderr += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
  // 'close' and not 'exit': all output has come then.
  [ending.code, ending.signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  ending.ms = performance.now() - began;
  return ending;
}
