// npm's install script. In the published package: nothing to do when a binary loads, else a build. In a clone: always
// the build, which knows itself what is stale.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import { build, product } from './build.mjs';
import { inRoot, root, shown } from './parts/files.mjs';
import { entry, Failure, run } from './parts/process.mjs';

await entry(import.meta, async () => {
  // Set while npm packs a git dependency: only the files are wanted there, and the addon would be thrown away.
  if (process.env._PACOTE_NO_PREPARE_ !== undefined) return;
  const isClone = fs.existsSync(inRoot('lib'));
  const present = isClone || isForced(process.env) ? null : await usableBinary();
  if (present) {
    console.log(`llama-sessions: ${shown(present)} loads here; nothing to build.`);
    return;
  }
  try {
    await build();
  } catch (error) {
    if (error instanceof Failure) {
      error.message += '\n\nllama-sessions is not usable yet. Once that is fixed, run the same npm command again.';
    }
    throw error;
  }
  const failure = await loadFailure(product);
  if (failure) throw new Failure(`${shown(product)} was built but does not load:\n${failure}`);
});

/**
 * Whether a build is asked for, whatever binary is there. --build-from-source may name the packages it is meant for. npm 12
 * refuses options it does not know, so there is a variable of our own beside it.
 */
export function isForced({ npm_config_build_from_source = '', LLAMA_SESSIONS_BUILD_FROM_SOURCE = '' }) {
  const words = `${npm_config_build_from_source},${LLAMA_SESSIONS_BUILD_FROM_SOURCE}`.toLowerCase().split(/[\s,]+/);
  return ['1', 'true', 'llama-sessions'].some((word) => words.includes(word));
}

async function usableBinary() {
  let file;
  try {
    file = createRequire(import.meta.url)('node-gyp-build').resolve(root);
  } catch {
    return null;
  }
  const failure = await loadFailure(file);
  if (failure) console.log(`llama-sessions: ${shown(file)} does not load here; building from source.\n${failure}`);
  return failure ? null : file;
}

/** In a process of its own: a binary for another C library may take the process with it. */
async function loadFailure(file) {
  const load = 'process.dlopen({ exports: {} }, process.argv[1])';
  const { code, output, reason } = await run(process.execPath, ['-e', load, file]);
  return code === 0 ? '' : output || reason;
}
