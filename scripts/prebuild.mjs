#!/usr/bin/env node
// npm run prebuild: the addon for other machines, into prebuilds/<platform>-<arch>/, where node-gyp-build finds it: the
// .node, ggml, and its backends as modules, with one for each kind of CPU.
//
//   LLAMA_SESSIONS_CMAKE="-D…"   more options for CMake
//   LLAMA_SESSIONS_GLIBC=2.28    fail when the binaries ask for a newer C library
//
// prebuildify runs "node-gyp rebuild …" and takes what is in build/Release. It is given this very file as its node-gyp:
// no Python, no header download.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import { build, givenOptions } from './build.mjs';
import { inRoot, megabytes, root, shown, sizeOf } from './parts/files.mjs';
import { checkFloor, strip } from './parts/binaries.mjs';
import { entry } from './parts/process.mjs';

/** prebuildify takes all that is here, so that a developer's own build is elsewhere. */
const workshop = inRoot('build/prebuild');
const products = path.join(workshop, 'build/Release');

const isLinux = process.platform === 'linux';
const isMusl = isLinux && (process.env.PREBUILD_LIBC === 'musl' || fs.existsSync('/etc/alpine-release'));
/** Both C libraries share prebuilds/linux-<arch>, and their libraries have the same names. */
const libraries = isMusl ? 'musl' : '';

await entry(import.meta, async (args) => {
  if (args[0] === 'rebuild') return compileForOthers();
  const arch = process.env.npm_config_arch ?? process.arch;
  const target = inRoot('prebuilds', `${process.platform}-${arch}`);
  fs.rmSync(target, { recursive: true, force: true });
  fs.mkdirSync(workshop, { recursive: true });
  const script = inRoot('scripts/prebuild.mjs');
  await promisify(createRequire(import.meta.url)('prebuildify'))({
    cwd: workshop,
    out: root,
    arch,
    targets: [],
    napi: true,
    strip: true,
    name: 'llama_sessions',
    // A glibc binary without the tag would be taken on Alpine.
    tagLibc: isLinux,
    nodeGyp: process.platform === 'win32' ? `"${process.execPath}" "${script}"` : script,
  });
  if (libraries) await takeLibraries(target);
  const files = fs.readdirSync(target, { recursive: true }).sort();
  for (const file of files) {
    const stat = fs.statSync(path.join(target, file));
    if (stat.isFile()) console.log(`${shown(path.join(target, file))}  ${stat.size}`);
  }
  console.log(`${shown(target)}: ${megabytes(sizeOf(target))}`);
  if (isLinux && !isMusl) await checkFloor(target, process.env.LLAMA_SESSIONS_GLIBC);
});

async function compileForOthers() {
  // Stale libraries would be taken along.
  fs.rmSync(products, { recursive: true, force: true });
  const options = [
    '-DLLAMA_SESSIONS_PORTABLE=ON',
    '-DLLAMA_SESSIONS_TESTS=OFF',
    `-DLLAMA_SESSIONS_OUT=${path.relative(root, path.dirname(products)).replaceAll('\\', '/')}`,
    `-DLLAMA_SESSIONS_LIBRARIES=${libraries}`,
  ];
  await build({ folder: 'cmake-prebuild', options: [...options, ...(givenOptions() ?? [])] });
}

/** prebuildify takes files beside the .node only. */
async function takeLibraries(target) {
  const folder = path.join(target, libraries);
  fs.cpSync(path.join(products, libraries), folder, { recursive: true });
  for (const file of fs.readdirSync(folder)) await strip(path.join(folder, file));
}
