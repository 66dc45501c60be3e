// Places to install the packed package in, and what a check says of them.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { inRoot, sizeOf } from '../parts/files.mjs';
import { npm, run } from '../parts/process.mjs';

export const fixture = inRoot('test/fixtures/recall.gguf');
export const here = path.dirname(fileURLToPath(import.meta.url));

/** A check that can't be made here; its message says why. */
export class NotHere extends Error {}

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'check-package-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));

/** A new folder that npm takes for a project. */
export function place(name) {
  const folder = path.join(scratch, name);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'package.json'), '{"name":"consumer","version":"1.0.0","private":true}\n');
  for (const file of ['ada.cjs', 'answers.mjs', 'answers.cjs', 'beside.mjs'])
    fs.copyFileSync(path.join(here, file), path.join(folder, file));
  return folder;
}

/** PATH of a machine with Node and nothing else: no compiler, cmake, python, git. */
export function barePath() {
  const folder = path.join(scratch, 'bin');
  if (fs.existsSync(folder)) return folder;
  fs.mkdirSync(folder);
  fs.symlinkSync(process.execPath, path.join(folder, `node${path.extname(process.execPath)}`));
  if (process.platform !== 'win32') fs.symlinkSync('/bin/sh', path.join(folder, 'sh'));
  return folder;
}

/** @returns {Promise<string>} what it printed; rejects when it failed */
export async function succeed(command, args, { cwd, env, timeout = 300_000 }) {
  // npm tells its scripts about itself, and would tell those that we start.
  const ofOurs = /^npm_(package|lifecycle)|^NODE_OPTIONS$|^INIT_CWD$/;
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ofOurs.test(name)));
  const quiet = { npm_config_update_notifier: 'false', npm_config_audit: 'false', npm_config_fund: 'false' };
  const { code, output, reason } = await run(command, args, { cwd, env: { ...inherited, ...quiet, ...env }, timeout });
  if (code !== 0) throw new Error(`${path.basename(command)} ${args.join(' ')}: ${reason}\n${output.slice(-2000)}`);
  return output;
}

/** npm as a file, which runs whatever PATH says. */
export function npmFile() {
  const [command, [file]] = npm();
  if (file !== undefined) return file;
  const folders = process.env.PATH.split(path.delimiter);
  return fs.realpathSync(folders.map((folder) => path.join(folder, command)).find((name) => fs.existsSync(name)));
}

export async function npmInstall(folder, what, { flags = [], env = {} } = {}) {
  return succeed(process.execPath, [npmFile(), 'install', ...flags, ...what], { cwd: folder, env });
}

/** Installs the package as on a bare machine. @returns {Promise<{folder: string, seconds: number}>} */
export async function installed(name, tarball, { flags = [], cold = false } = {}) {
  const folder = place(name);
  const env = {
    PATH: barePath(),
    ...(cold && { npm_config_cache: path.join(scratch, `cache-${path.basename(name)}`) }),
  };
  const began = performance.now();
  await npmInstall(folder, [tarball], { flags, env });
  return { folder, seconds: (performance.now() - began) / 1000 };
}

/** Lets an installed package answer. */
export async function answers(
  folder,
  { node = process.execPath, file = 'answers.mjs', more = [], env = { PATH: barePath() } } = {},
) {
  const output = await succeed(node, [path.join(folder, file), fixture, ...more], { cwd: folder, env });
  if (!output.includes('Your name is Ada.')) throw new Error(`It said: ${output}`);
  return output.trim();
}

export async function doctor(folder, { node = process.execPath, env = {} } = {}) {
  return succeed(node, [path.join(folder, 'node_modules/llama-sessions/scripts/llama-sessions.mjs'), 'doctor'], {
    cwd: folder,
    env: { PATH: barePath(), ...env },
  });
}

export const megabytesOf = (folder) => `${(sizeOf(folder) / 1e6).toFixed(1)} MB`;
