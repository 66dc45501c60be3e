// Checks in other Linux systems, as root file systems that somebody has unpacked here.
//
//   --debian11 DIR   debootstrap --variant=minbase --include=libstdc++6,ca-certificates bullseye DIR
//   --alpine DIR     an Alpine "minirootfs", with nodejs and libstdc++ in it
//   --arm64 DIR      any for arm64, with Node in it; qemu-user-static runs it elsewhere
import fs from 'node:fs';
import path from 'node:path';
import { floorOf, floorText } from '../parts/binaries.mjs';
import { fixture, NotHere, succeed } from './place.mjs';

/** Copies an installed package into a root file system and lets it answer there. */
async function answersIn(root, folder, node) {
  if (process.getuid?.() !== 0) throw new NotHere('chroot takes root');
  const inside = path.join(root, 'check-package');
  fs.rmSync(inside, { recursive: true, force: true });
  fs.cpSync(folder, inside, { recursive: true, verbatimSymlinks: true });
  fs.copyFileSync(fixture, path.join(inside, 'recall.gguf'));
  if (node) fs.copyFileSync(node, path.join(inside, 'node'));
  // A mount of its own for /proc goes with the process.
  const script = 'mount -t proc proc "$0/proc" 2>/dev/null; exec chroot "$0" sh -c "cd /check-package && $1"';
  const program = node ? './node' : 'node';
  const command = `${program} answers.mjs recall.gguf && ${program} node_modules/llama-sessions/scripts/llama-sessions.mjs doctor`;
  try {
    return await succeed('unshare', ['--mount', 'sh', '-c', script, root, command], {
      env: { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    });
  } finally {
    fs.rmSync(inside, { recursive: true, force: true });
  }
}

/** @param {string} option whose value is the root file system @param {string} [node] to take along; none: its own */
const system =
  (option, node) =>
  async ({ folder, options }) => {
    if (!options[option]) throw new NotHere(`no root file system: --${option} DIR`);
    const output = await answersIn(options[option], folder, node);
    return /platform.*variant \w+/s.exec(output)[0].replace(/\s+/g, ' ');
  };

export const checks = {
  async 'oldest C library'({ folder }) {
    if (process.platform !== 'linux') throw new NotHere('not Linux');
    const prebuilds = path.join(folder, 'node_modules/llama-sessions/prebuilds', `linux-${process.arch}`);
    return `needs ${floorText(await floorOf(prebuilds))}`;
  },

  'Debian 11': system('debian11', process.execPath),
  Alpine: system('alpine'),
  arm64: system('arm64'),
};
