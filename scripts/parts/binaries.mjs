// Finished binaries: what they ask of the system's libraries, which tells the oldest Linux that they run on; and strip.
import fs from 'node:fs';
import path from 'node:path';
import { shown } from './files.mjs';
import { Failure, run } from './process.mjs';

const libraries = ['GLIBC', 'GLIBCXX', 'CXXABI', 'GCC'];

// Those for another kind of CPU have other names; prebuildify asks for the first in the same way.
const stripper = process.env.PREBUILD_STRIP_BIN ?? 'strip';
const objdump = process.env.OBJDUMP ?? 'objdump';

/** `1.10` is newer than `1.9`. @param {string[]} versions @returns {string | undefined} */
export function newestVersion(versions) {
  return [...versions].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

/** @returns {Promise<Record<string, string>>} for each library the newest version that a binary below the folder needs */
export async function floorOf(folder) {
  const files = fs.readdirSync(folder, { recursive: true }).filter((name) => /\.(node|so)$/.test(name));
  const { code, output, reason } = await run(objdump, ['-T', ...files.map((name) => path.join(folder, name))]);
  if (code !== 0) throw new Failure(`${objdump} failed (${reason}): ${output.slice(-500)}`);
  const needed = (name) =>
    [...output.matchAll(new RegExp(`\\*UND\\*.*\\b${name}_([\\d.]+)`, 'g'))].map(([, version]) => version);
  const floor = libraries.map((name) => [name, newestVersion(needed(name))]);
  return Object.fromEntries(floor.filter(([, version]) => version !== undefined));
}

/** `GLIBC 2.28, GCC 3.4` */
export const floorText = (floor) =>
  Object.entries(floor)
    .map((pair) => pair.join(' '))
    .join(', ');

/** Prints the floor of all binaries below a folder. @param {string | undefined} glibc the newest that is allowed */
export async function checkFloor(folder, glibc) {
  const floor = await floorOf(folder);
  console.log(`Needs ${floorText(floor)}`);
  if (glibc !== undefined && newestVersion([glibc, floor.GLIBC]) !== glibc)
    throw new Failure(
      `The binaries need GLIBC_${floor.GLIBC}; no more than ${glibc} is allowed. Build on an older system.`,
    );
}

/** Takes out what only debuggers read. */
export async function strip(file) {
  const { code, output } = await run(stripper, ['--strip-all', file]);
  if (code !== 0) throw new Failure(`${stripper} failed on ${shown(file)}: ${output}`);
}
