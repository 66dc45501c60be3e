// The oldest systems that Linux binaries run on: the newest symbol versions that they ask of the system's libraries.
import fs from 'node:fs';
import path from 'node:path';
import { Failure, run } from './process.mjs';

const libraries = ['GLIBC', 'GLIBCXX', 'CXXABI', 'GCC'];

/** `1.10` is newer than `1.9`. @param {string[]} versions @returns {string | undefined} */
export function newestVersion(versions) {
  return [...versions].sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

/** @returns {Promise<Record<string, string>>} for each library the newest version that any of the files needs */
export async function floorOf(files) {
  const { code, output, reason } = await run('objdump', ['-T', ...files]);
  if (code !== 0) throw new Failure(`objdump failed (${reason}): ${output.slice(-500)}`);
  const floor = {};
  for (const name of libraries) {
    const versions = [...output.matchAll(new RegExp(`\\*UND\\*.*\\b${name}_([\\d.]+)`, 'g'))].map(
      ([, version]) => version,
    );
    if (versions.length > 0) floor[name] = newestVersion(versions);
  }
  return floor;
}

/** Prints the floor of all binaries below a folder. @param {string | undefined} glibc the newest that is allowed */
export async function checkFloor(folder, glibc) {
  const files = fs.readdirSync(folder, { recursive: true }).filter((name) => /\.(node|so)$/.test(name));
  const floor = await floorOf(files.map((name) => path.join(folder, name)));
  console.log(
    `Needs ${Object.entries(floor)
      .map((pair) => pair.join('_'))
      .join(', ')}`,
  );
  if (glibc !== undefined && newestVersion([glibc, floor.GLIBC]) !== glibc)
    throw new Failure(
      `The binaries need GLIBC_${floor.GLIBC}; no more than ${glibc} is allowed. Build on an older system.`,
    );
}
