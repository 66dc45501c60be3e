import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LlamaError } from './errors.js';
import type { Addon } from './native.js';

let loaded: Addon | undefined;

/** The addon: the one in build/ when there is one, else the prebuilt one for this platform. @throws LlamaError BINDING_NOT_FOUND */
export function addon(): Addon {
  if (loaded === undefined) {
    const native = (loaded = load());
    // process.exit() destroys C++'s static objects, which llama.cpp makes and uses in every step: its threads must have ended
    // before, and no destructor of ours could run early enough.
    process.on('exit', () => {
      native.endEngines();
    });
  }
  return loaded;
}

function load(): Addon {
  const require = createRequire(import.meta.url);
  try {
    const find = require('node-gyp-build') as (root: string) => Addon;
    return find(fileURLToPath(new URL('..', import.meta.url)));
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
    const build = fileURLToPath(new URL('../scripts/build.mjs', import.meta.url));
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = [
      `The native part of llama-sessions can't be loaded (${platform}): ${reason}`,
      'Possible solutions:',
      `- compile it, which takes git, CMake and a C++ compiler (npm may have blocked the install script): node ${build}`,
      '- when node_modules came from another machine, platform or C library: delete it and install here',
    ].join('\n');
    throw new LlamaError('BINDING_NOT_FOUND', message, { cause });
  }
}
