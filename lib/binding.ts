import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LlamaError, messageOf } from './errors.js';
import type { Addon } from './native.js';

const require = createRequire(import.meta.url);

let loaded: Addon | undefined;

/** The addon: the one in build/ when there is one, else the prebuilt one. @throws LlamaError BINDING_NOT_FOUND */
export function addon(): Addon {
  if (loaded === undefined) {
    const native = (loaded = load());
    // process.exit() destroys C++'s static objects, which llama.cpp makes and uses in every step: its threads must have ended
    // before, and no destructor of ours could run early enough. First: another listener may call process.exit() itself, or throw.
    process.prependListener('exit', () => {
      native.endEngines();
    });
  }
  return loaded;
}

/** Where package.json is, and what is built and shipped beside it. */
export const packageRoot: string = fileURLToPath(new URL('..', import.meta.url));

/** The file that `addon()` loads. @throws Error: none fits this platform */
export function addonFile(): string {
  return (require('node-gyp-build') as { resolve(root: string): string }).resolve(packageRoot);
}

/** This package's version. */
export function packageVersion(): string {
  return (require('../package.json') as { version: string }).version;
}

/** The package.json of another package, if that is installed where we can see it. */
export function installedPackage(name: string): { file: string; content: unknown } | undefined {
  try {
    const file = require.resolve(`${name}/package.json`);
    return { file, content: require(file) };
  } catch {
    return undefined;
  }
}

function load(): Addon {
  let native: Addon;
  try {
    native = require(addonFile()) as Addon;
  } catch (cause) {
    throw notFound(messageOf(cause), cause);
  }
  const version = (native as Partial<Addon>).version ?? 'unknown'; // older ones have none
  if (version === packageVersion()) return native;
  throw notFound(`${addonFile()} was made for version ${version} of this package, which is ${packageVersion()}`);
}

function notFound(reason: string, cause?: unknown): LlamaError {
  const platform = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
  const message = [
    `The native part of llama-sessions can't be loaded (${platform}): ${reason}`,
    'Possible solutions:',
    '- when node_modules came from another machine, platform or C library: delete it and install here',
    '- compile it, which takes CMake and a C++ compiler (npm may have blocked the install script): npx llama-sessions build',
    '- to see what is there and what is missing: npx llama-sessions doctor',
  ].join('\n');
  return new LlamaError('BINDING_NOT_FOUND', message, { cause });
}
