#!/usr/bin/env node
// Makes vendor/llama.cpp exactly the tree that vendor/llama.cpp.json pins, and vendor/sqlite the files of vendor/sqlite.json.
// `npm run vendor`; an upgrade is a new pin.
//
// The tree's hash is the identity: it covers every byte of every file, whichever route they came by. (A commit would
// not do: the bundle on npm holds a squash of its own.)
import fs from 'node:fs';
import path from 'node:path';
import { inScratch, unpackFromNpm } from './parts/fetch.mjs';
import { inRoot, megabytes, readJson, shown, sizeOf } from './parts/files.mjs';
import { locked } from './parts/lock.mjs';
import { cleanEnv, entry, Failure, run } from './parts/process.mjs';
import { duration, progress } from './parts/progress.mjs';
import { vendorSqlite } from './parts/sqlite.mjs';
import { requireTools } from './parts/tools.mjs';

const folder = inRoot('vendor/llama.cpp');
const probeTimeoutMs = 10_000;

/** @param edits of llama.cpp: 'restore' puts edited files back; 'refuse' leaves that decision to the user */
export async function vendor({ edits = 'restore', quiet = false } = {}) {
  await vendorSqlite({ quiet });
  await vendorLlama({ edits, quiet });
}

async function vendorLlama({ edits, quiet }) {
  const pin = readJson(inRoot('vendor/llama.cpp.json'));
  await requireTools('git');
  if (isPinned(await inspect(folder), pin)) {
    if (!quiet)
      console.log(`${shown(folder)} is ${pin.name} ${pin.version}, tree ${pin.tree.slice(0, 12)}: nothing to do.`);
    return;
  }
  await locked(async () => {
    const state = await inspect(folder); // again: another process may just have done it
    if (isPinned(state, pin)) return;
    if (state.edited.length > 0 && edits === 'refuse') throw new Failure(describeEdits(state.edited));
    if (state.edited.length > 0) await keepEdits(state.edited);
    if (state.tree === pin.tree) await restore(pin);
    else await fetchTree(pin);
  });
}

const isPinned = (state, pin) => state.tree === pin.tree && state.edited.length === 0;

/** The tree a checkout is at, and its files that are not as in that tree; `tree` is null when it is no checkout. */
async function inspect(checkout) {
  // Without this git would answer for the repository around us.
  if (!fs.existsSync(path.join(checkout, '.git'))) return { tree: null, edited: [] };
  const head = await git(checkout, 'rev-parse', '--verify', 'HEAD^{tree}');
  if (head.code !== 0) return { tree: null, edited: [] };
  const status = await git(checkout, 'status', '--porcelain', '--untracked-files=all');
  if (status.code !== 0) return { tree: null, edited: [] };
  return { tree: head.output.trim(), edited: status.output.split('\n').filter(Boolean) };
}

// Bytes as they are in the tree, whatever the user's own git does to line ends.
const asStored = ['-c', 'core.autocrlf=false', '-c', 'core.longPaths=true', '-c', 'core.excludesFile='];

/** git on one checkout. Naming its folder, instead of letting git search, also spares us safe.directory. */
function git(checkout, ...args) {
  const where = [`--git-dir=${path.join(checkout, '.git')}`, `--work-tree=${checkout}`];
  return run('git', [...where, ...asStored, ...args], { cwd: checkout });
}

async function mustGit(checkout, ...args) {
  const { code, output, reason } = await git(checkout, ...args);
  if (code !== 0) throw new Failure(`git ${args[0]} failed in ${shown(checkout)} (${reason}):\n${output}`);
  return output.trim();
}

const describeEdits = (edited) =>
  [
    `${shown(folder)} was edited; it is used as pinned, never patched:`,
    ...edited.slice(0, 8).map((line) => `  ${line}`),
    ...(edited.length > 8 ? [`  … and ${edited.length - 8} more`] : []),
    'To put it back (your edits are kept as a patch in build/): npm run vendor',
  ].join('\n');

async function keepEdits(edited) {
  const patch = inRoot('build', `vendor-edits-${new Date().toISOString().replace(/\W/g, '')}.patch`);
  await mustGit(folder, 'add', '--all');
  await mustGit(folder, 'diff', '--cached', '--binary', `--output=${patch}`, 'HEAD');
  console.log(`${shown(folder)}: ${edited.length} edited file(s); the edits are kept in ${shown(patch)}.`);
}

async function restore(pin) {
  await mustGit(folder, 'reset', '--quiet', '--hard', 'HEAD');
  await verify(folder, pin);
}

async function verify(checkout, pin) {
  const { tree, edited } = await inspect(checkout);
  if (tree !== pin.tree) throw new Failure(wrongTree(tree, pin));
  if (edited.length > 0) throw new Failure(`The checkout is not the tree it claims to be:\n${edited.join('\n')}`);
}

const wrongTree = (tree, pin) =>
  `refused: this is tree ${tree}, but vendor/llama.cpp.json pins ${pin.tree} for ${pin.name} ${pin.version}`;

async function fetchTree(pin) {
  const started = Date.now();
  await inScratch(async (scratch) => {
    const { route, bytes } = await tryRoutes(pin, scratch);
    swapIn(path.join(scratch, 'tree'), path.join(scratch, 'old'));
    console.log(
      `${shown(folder)} is now ${pin.name} ${pin.version}, tree ${pin.tree.slice(0, 12)} verified ` +
        `(${route}, ${megabytes(bytes)}, ${duration(Date.now() - started)}).`,
    );
  });
}

async function tryRoutes(pin, scratch) {
  const tree = path.join(scratch, 'tree');
  const failures = [];
  for (const [route, fetchFrom] of [
    [`git ${pin.git.url}`, fromUpstream],
    [`npm ${pin.npm.package}`, fromNpm],
  ]) {
    const line = progress(`Fetching ${pin.name} ${pin.version} · ${route}`);
    try {
      await fetchFrom(pin, tree, scratch, line);
      await verify(tree, pin);
      line.end();
      return { route, bytes: sizeOf(path.join(tree, '.git')) };
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      line.end(error.message.split('\n')[0]);
      failures.push(`${route}:\n  ${error.message.replace(/\n/g, '\n  ')}`);
      fs.rmSync(tree, { recursive: true, force: true });
    }
  }
  throw new Failure(
    `${pin.name} ${pin.version} could not be fetched; either of these would do:\n${failures.join('\n')}\n` +
      'Once one of them is reachable and holds the pinned tree: npm run vendor',
  );
}

async function fromUpstream(pin, tree, scratch, line) {
  line.update('asking');
  const { code, output, reason } = await run(
    'git',
    [...patience, 'ls-remote', '--exit-code', pin.git.url, pin.git.ref],
    {
      env: remoteEnv(),
      cwd: scratch,
      timeout: probeTimeoutMs,
    },
  );
  if (code === 2) throw new Failure(`${pin.git.url} has no ${pin.git.ref}`);
  if (code !== 0) throw new Failure(`not reachable: ${output.split('\n').at(-1) || reason}`);
  await checkOut(pin, tree, pin.git.url, pin.git.ref, line);
}

async function fromNpm(pin, tree, scratch, line) {
  await unpackFromNpm(pin.npm.package, [pin.npm.bundle], scratch, line);
  await checkOut(pin, tree, path.join(scratch, 'package', pin.npm.bundle), 'HEAD', line);
}

/** Fetches one ref and writes its files, once its tree is known to be the right one. */
async function checkOut(pin, tree, source, ref, line) {
  const init = await run('git', ['init', '--quiet', tree]);
  if (init.code !== 0) throw new Failure(`git init failed: ${init.output || init.reason}`);
  line.update('fetching');
  const depth = ref === 'HEAD' ? [] : ['--depth=1'];
  const gitDir = `--git-dir=${path.join(tree, '.git')}`;
  const fetched = await run('git', [gitDir, ...patience, 'fetch', '--progress', '--no-tags', ...depth, source, ref], {
    env: remoteEnv(),
    cwd: tree,
    onLine: (text) => line.update(text.split('\r').at(-1)),
  });
  if (fetched.code !== 0) throw new Failure(`git fetch failed: ${fetched.output.split('\n').at(-1) || fetched.reason}`);
  const hash = await mustGit(tree, 'rev-parse', '--verify', 'FETCH_HEAD^{tree}');
  if (hash !== pin.tree) throw new Failure(wrongTree(hash, pin));
  line.update('writing files');
  await mustGit(tree, 'checkout', '--quiet', '--detach', 'FETCH_HEAD');
}

// Nobody is asked for a password, and a connection that has gone silent is given up.
const patience = [
  '-c',
  'credential.helper=',
  '-c',
  'core.askPass=',
  '-c',
  'http.lowSpeedLimit=1000',
  '-c',
  'http.lowSpeedTime=30',
];

function remoteEnv() {
  const GIT_SSH_COMMAND = process.env.GIT_SSH_COMMAND ?? 'ssh -oBatchMode=yes';
  return cleanEnv({ GIT_TERMINAL_PROMPT: '0', GIT_ASKPASS: undefined, SSH_ASKPASS: undefined, GIT_SSH_COMMAND });
}

function swapIn(tree, old) {
  if (fs.lstatSync(folder, { throwIfNoEntry: false })) fs.renameSync(folder, old);
  fs.renameSync(tree, folder);
}

await entry(import.meta, () => vendor());
