#!/usr/bin/env node
// npm run prebuild: a binary into prebuilds/<platform>-<arch>/, where node-gyp-build finds it.
//
// prebuildify runs "node-gyp rebuild …" and takes build/Release/*.node. It is given this very file as its node-gyp: no
// Python, no header download.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { build } from './build.mjs';
import { inRoot, root, shown } from './parts/files.mjs';
import { entry } from './parts/process.mjs';

await entry(import.meta, async (args) => {
  if (args[0] === 'rebuild') return compileForOthers();
  const arch = process.env.npm_config_arch ?? process.arch;
  const target = inRoot('prebuilds', `${process.platform}-${arch}`);
  fs.rmSync(target, { recursive: true, force: true });
  const script = inRoot('scripts/prebuild.mjs');
  await promisify(createRequire(import.meta.url)('prebuildify'))({
    cwd: root,
    arch,
    targets: [],
    napi: true,
    strip: true,
    name: 'llama_sessions',
    // A glibc binary without the tag would be taken on Alpine.
    tagLibc: process.platform === 'linux',
    nodeGyp: process.platform === 'win32' ? `"${process.execPath}" "${script}"` : script,
  });
  for (const file of fs.readdirSync(target))
    console.log(`${shown(target)}/${file}: ${fs.statSync(`${target}/${file}`).size} bytes`);
});

/** Not tuned for this machine's CPU, and in a folder of its own: the developer's build stays as it is. */
async function compileForOthers() {
  const more = (process.env.LLAMA_SESSIONS_CMAKE ?? '').split(/\s+/).filter(Boolean);
  await build({ folder: 'cmake-prebuild', options: ['-DLLAMA_SESSIONS_NATIVE=OFF', ...more] });
}
