// npm run check:package: packs the package, installs the packed file in many ways, and lets each answer. Prints a table; any
// failure is an exit status of 1. What can't be tried here says so. Takes prebuilds/ (npm run prebuild) and the npm registry.
//
//   --tarball FILE    instead of packing
//   --only TEXT       checks whose names contain it
//   --debian11 DIR, --alpine DIR, --arm64 DIR   root file systems (scripts/package/systems.mjs)
//   --source          compiles from the packed file too: minutes
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { checks as damage } from './package/damage.mjs';
import { checks as examples } from './package/examples.mjs';
import { checks as installing } from './package/install.mjs';
import { checks as neighbours } from './package/neighbours.mjs';
import { NotHere, installed } from './package/place.mjs';
import { checks as runtimes } from './package/runtimes.mjs';
import { checks as source } from './package/source.mjs';
import { checks as systems } from './package/systems.mjs';
import { inRoot } from './parts/files.mjs';
import { entry, Failure, npm, run } from './parts/process.mjs';

async function pack() {
  const folder = inRoot('build/check');
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  const [command, first] = npm();
  const { code, output } = await run(command, [...first, 'pack', '--pack-destination', folder], { cwd: inRoot() });
  if (code !== 0) throw new Failure(`npm pack failed:\n${output}`);
  return path.join(folder, fs.readdirSync(folder)[0]);
}

async function outcome(check, state) {
  try {
    return ['ok', await check(state)];
  } catch (error) {
    if (error instanceof NotHere) return ['not tried', error.message];
    return ['FAILED', error.message];
  }
}

await entry(import.meta, async (args) => {
  const options = { tarball: { type: 'string' }, only: { type: 'string', default: '' }, source: { type: 'boolean' } };
  const { values } = parseArgs({
    args,
    options: { ...options, debian11: { type: 'string' }, alpine: { type: 'string' }, arm64: { type: 'string' } },
  });
  const state = { tarball: path.resolve(values.tarball ?? (await pack())), options: values };
  const all = {
    ...installing,
    ...runtimes,
    ...systems,
    ...damage,
    ...neighbours,
    ...examples,
    ...(values.source && source),
  };
  const names = Object.keys(all).filter((name) => name.includes(values.only));
  if (values.only) state.folder = (await installed('shared', state.tarball)).folder;
  const width = Math.max(...names.map((name) => name.length));
  const counts = { ok: 0, FAILED: 0, 'not tried': 0 };
  for (const name of names) {
    const began = performance.now();
    const [verdict, detail = ''] = await outcome(all[name], state);
    counts[verdict]++;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(`${name.padEnd(width)}  ${verdict.padEnd(9)}  ${seconds.padStart(6)} s  ${detail}`);
  }
  console.log(`${counts.ok} ok, ${counts.FAILED} failed, ${counts['not tried']} not tried`);
  if (counts.FAILED > 0) process.exitCode = 1;
});
