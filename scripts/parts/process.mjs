// Child processes: run one, read its lines, take it along when this process is told to end.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** What the user has to do is in the message: shown without a stack. */
export class Failure extends Error {}

/** Those that run, and whether each leads a process group. */
const children = new Map();

// Node would die at once and leave the children running: a compiler that goes on after Ctrl-C.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    for (const child of children.keys()) stop(child, signal);
    process.exit(128 + os.constants.signals[signal]);
  });
}

/** A child with output of its own leads a process group: git and cmake leave their own children behind when killed. */
function stop(child, signal = 'SIGTERM') {
  try {
    process.kill(children.get(child) ? -child.pid : child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * Hooks and `git -c` set these for the repository around us; a child git would then work on that one.
 * @param {Record<string, string | undefined>} extra undefined: not set for the child
 */
export function cleanEnv(extra = {}) {
  const ofAnotherRepository = /^GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR|OBJECT_DIRECTORY|NAMESPACE)$/;
  const kept = Object.entries(process.env).filter(([name]) => !ofAnotherRepository.test(name));
  return { ...Object.fromEntries(kept), ...extra };
}

/**
 * Runs a program to its end. Never rejects because of what the program did: `code` is its exit status, -1 when it
 * could not be started, was killed or ran past `timeout` (ms). With `show` its output goes straight to ours.
 * @returns {Promise<{code: number, output: string, reason: string}>}
 */
export function run(command, args, { cwd, env = cleanEnv(), show = false, timeout = 0, onLine } = {}) {
  return new Promise((resolve) => {
    const stdio = show ? 'inherit' : ['ignore', 'pipe', 'pipe'];
    const leadsGroup = !show && process.platform !== 'win32';
    const child = spawn(command, args, { cwd, env, stdio, detached: leadsGroup });
    if (child.pid) children.set(child, leadsGroup);
    const lines = [];
    for (const stream of [child.stdout, child.stderr].filter(Boolean)) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        onLine?.(line);
      });
    }
    let reason = '';
    const giveUp = () => {
      reason = `no answer in ${timeout / 1000} s`;
      stop(child);
    };
    const timer = timeout > 0 ? setTimeout(giveUp, timeout) : undefined;
    const end = (code, why) => {
      clearTimeout(timer);
      children.delete(child);
      resolve({ code, output: lines.join('\n'), reason: reason || why });
    };
    child.on('error', (error) => end(-1, error.message));
    child.on('close', (code, signal) => end(code ?? -1, signal ? `killed by ${signal}` : `exit code ${code}`));
  });
}

/** npm as [command, first arguments]: the one that runs us, for PATH may hold another, or a .cmd nobody can spawn. */
export function npm() {
  const bundled = path.join(path.dirname(process.execPath), 'node_modules/npm/bin/npm-cli.js');
  const cli = [process.env.npm_execpath, bundled].find((file) => file?.endsWith('npm-cli.js') && fs.existsSync(file));
  return cli ? [process.execPath, [cli]] : ['npm', []];
}

/** Runs a script's `main` when the script is what node was started with. */
export async function entry(meta, main) {
  if (!process.argv[1] || fs.realpathSync(process.argv[1]) !== meta.filename) return;
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    const explained = error instanceof Failure || error.code?.startsWith('ERR_PARSE_ARGS');
    console.error(explained ? `\n${error.message}\n` : error);
    process.exitCode = 1;
  }
}
