import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sizeOf } from '../../scripts/parts/files.mjs';
import { npm } from '../../scripts/parts/process.mjs';
import { round } from '../measure.mjs';
import { progress } from '../report.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about =
  'what npm install brings: seconds, and megabytes in node_modules (the registry’s speed is in the seconds)';
export const once = true;

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const [NPM, FIRST] = npm();

/** @param {Settings} settings */
export async function run(settings) {
  const rivals = JSON.parse(readFileSync(join(ROOT, 'bench/package.json'), 'utf8')).dependencies;
  const work = mkdtempSync(join(tmpdir(), 'llama-sessions-bench-'));
  const hasPrebuild =
    existsSync(join(ROOT, 'prebuilds')) && readdirSync(join(ROOT, 'prebuilds')).some((name) => !name.startsWith('.'));
  const notes = [];
  try {
    progress('install: packing ours');
    const [{ filename }] = JSON.parse(
      execFileSync(NPM, [...FIRST, 'pack', '--json', '--ignore-scripts', '--pack-destination', work], {
        cwd: ROOT,
        encoding: 'utf8',
      }),
    );
    const ours = install(join(work, 'ours'), join(work, filename), hasPrebuild ? [] : ['--ignore-scripts']);
    if (!hasPrebuild) {
      notes.push(
        'ours: prebuilds/ holds no binary, so its scripts did not run: neither the binary nor the build is counted',
      );
    }
    const rows = [{ who: 'ours', ...ours }];
    const names = settings.quick ? [] : Object.keys(rivals);
    for (const name of names)
      rows.push({ who: name, ...install(join(work, name.replace('/', '-')), `${name}@${rivals[name]}`, []) });
    return { rows, goals: {}, notes };
  } finally {
    rmSync(work, { recursive: true });
  }
}

/**
 * @param {string} folder
 * @param {string} what
 * @param {string[]} more
 */
function install(folder, what, more) {
  progress(`install: ${what}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  const began = performance.now();
  // A cache of its own: what was downloaded before would not be counted.
  const args = ['install', what, '--no-audit', '--no-fund', '--cache', `${folder}-cache`, ...more];
  const { status, stderr } = spawnSync(NPM, [...FIRST, ...args], { cwd: folder, encoding: 'utf8' });
  const seconds = round((performance.now() - began) / 1000, 1);
  rmSync(`${folder}-cache`, { recursive: true, force: true });
  if (status !== 0)
    return { seconds, MB: null, packages: null, failed: stderr.trim().split('\n')[0] ?? `ended with ${status}` };
  const modules = join(folder, 'node_modules');
  const found = { seconds, MB: round(sizeOf(modules) / 1e6, 1), packages: packagesIn(modules) };
  rmSync(folder, { recursive: true });
  return found;
}

/** @param {string} folder */
function packagesIn(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Set(files.map((entry) => packageOf(join(entry.parentPath, entry.name)))).size;
}

/** @param {string} path */
const packageOf = (path) => /.*node_modules[\\/](@[^\\/]+[\\/])?[^\\/]+/.exec(path)?.[0];
