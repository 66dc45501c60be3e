import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LlamaError } from './errors.js';
import type { Addon } from './native.js';

let loaded: Addon | undefined;

/** The addon: the one in build/ when there is one, else the prebuilt one for this platform. @throws LlamaError BINDING_NOT_FOUND */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const require = createRequire(import.meta.url);
  try {
    const find = require('node-gyp-build') as (root: string) => Addon;
    return find(fileURLToPath(new URL('..', import.meta.url)));
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = [
      `The native part of llama-sessions can't be loaded (${platform}): ${reason}`,
      'Possible solutions:',
      '- allow its install script and install again: npm rebuild llama-sessions --foreground-scripts',
      '- compile it by hand, with a C++ compiler and CMake at hand: npm explore llama-sessions -- npm run compile',
      '- when node_modules came from another machine, platform or C library: delete it and install here',
    ].join('\n');
    throw new LlamaError('BINDING_NOT_FOUND', message, { cause });
  }
}
