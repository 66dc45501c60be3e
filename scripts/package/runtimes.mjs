// Checks with other runtimes, from npm: one binary serves them all.
import fs from 'node:fs';
import path from 'node:path';
import { answers, npmInstall, NotHere, place, succeed } from './place.mjs';

const packages = { linux: 'linux', darwin: 'darwin', win32: 'win' };
const exe = process.platform === 'win32' ? '.exe' : '';

/** The `node` of that major version; npm's package `node` is but a script that fetches this one. */
async function nodeOf(major) {
  const folder = place(`node-${major}`);
  const name = `node-${packages[process.platform]}-${process.arch}`;
  await fetched(folder, `${name}@${major}`);
  return path.join(folder, 'node_modules', name, `bin/node${exe}`);
}

/** Not every runtime is on npm for every platform. */
async function fetched(folder, what) {
  try {
    await npmInstall(folder, [what], { flags: ['--ignore-scripts'] });
  } catch (error) {
    throw new NotHere(`${what} can't be had from npm: ${error.message.match(/npm error (.*)/)?.[1] ?? ''}`);
  }
}

const withNode = (major) => [
  `Node ${major}`,
  async ({ folder }) => {
    const node = await nodeOf(major);
    await answers(folder, { node });
    await answers(folder, { node, file: 'answers.cjs' });
    await answers(folder, { node, more: ['worker'] });
    return `${(await succeed(node, ['--version'], {})).trim()}: import, require(), worker`;
  },
];

export const checks = {
  ...Object.fromEntries(['20', '22', '24', '26'].map(withNode)),

  async Bun({ folder }) {
    const own = place('bun');
    const name = `@oven/bun-${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch === 'arm64' ? 'aarch64' : 'x64'}`;
    await fetched(own, name);
    const bun = path.join(own, 'node_modules', name, `bin/bun${exe}`);
    fs.chmodSync(bun, 0o755);
    await answers(folder, { node: bun });
    return `Bun ${(await succeed(bun, ['--version'], {})).trim()}: import`;
  },
};
