#!/usr/bin/env node
// The one way to compile the addon: npm install, npm run compile, node-gyp through binding.gyp, prebuildify.
//
//   node scripts/build.mjs [--debug] [--target=NAME …]
//   LLAMA_SESSIONS_CMAKE="-DGGML_CUDA=ON …"   more options for CMake; kept for later builds until given anew
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { inRoot, readJson, root, shown, stamp } from './parts/files.mjs';
import { locked } from './parts/lock.mjs';
import { cleanEnv, entry, Failure, run } from './parts/process.mjs';
import { duration, progress } from './parts/progress.mjs';
import { arePacked, unpackSources } from './parts/sources.mjs';
import { namedCompilers, requireTools } from './parts/tools.mjs';
import { vendor } from './vendor.mjs';

export const product = inRoot('build/Release/llama_sessions.node');
/** Its time is that of the sources which the addon was last built from. */
export const builtStamp = inRoot('build/cmake/built');

const logFile = inRoot('build/build.log');
const logTailLines = 30;
const bytesPerCompiler = 1.5e9; // llama.cpp's largest files take over a gigabyte each

/**
 * @param {{debug?: boolean, targets?: string[], options?: string[], folder?: string}} what
 *   targets: none means the addon. options: CMake's -D…, none means those of the environment or of the last build.
 */
export async function build({ debug = false, targets = [], options, folder } = {}) {
  const plan = {
    config: debug ? 'Debug' : 'Release',
    out: inRoot('build', folder ?? (debug ? 'cmake-debug' : 'cmake')),
    targets,
  };
  await requireTools(...(arePacked() ? [] : ['git']), 'cmake', 'compiler', 'make');
  await locked(async () => {
    if (arePacked()) await unpackSources();
    else await vendor({ edits: 'refuse', quiet: true });
    const started = Date.now();
    plan.options = options ?? chosenOptions(plan.out);
    fs.mkdirSync(plan.out, { recursive: true });
    const log = fs.openSync(logFile, 'w');
    try {
      await compile(plan, await cmakeJs(plan), log);
    } finally {
      fs.closeSync(log);
    }
    if (targets.length === 0) stamp(path.join(plan.out, 'built'), started);
  });
}

/** Options live on in CMake's cache, so a build that names none must mean the ones it was set up with. */
const chosenOptions = (out) => givenOptions() ?? remembered(out)?.options ?? [];

/** Those of LLAMA_SESSIONS_CMAKE; undefined: it is not set. */
export function givenOptions() {
  const given = process.env.LLAMA_SESSIONS_CMAKE;
  if (given === undefined) return undefined;
  const options = (given.match(/(?:[^\s"]|"[^"]*")+/g) ?? []).map((option) => option.replaceAll('"', ''));
  const wrong = options.find((option) => !/^-D\w+(:\w+)?=/.test(option));
  if (wrong) throw new Failure(`LLAMA_SESSIONS_CMAKE holds "${wrong}"; it takes CMake options: -DNAME=VALUE …`);
  return options;
}

const rememberedFile = (out) => path.join(out, 'options.json');
const remembered = (out) => (fs.existsSync(rememberedFile(out)) ? readJson(rememberedFile(out)) : null);

async function cmakeJs({ config, out }) {
  let BuildSystem;
  try {
    ({ BuildSystem } = (await import('cmake-js')).default);
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Failure('cmake-js is not installed here. To install what the build needs: npm ci');
  }
  return new BuildSystem({
    noLog: true,
    directory: root,
    out,
    config,
    arch: process.env.npm_config_arch,
    parallel: jobs(),
    ...(process.env.CMAKE_GENERATOR && { generator: process.env.CMAKE_GENERATOR }),
    ...namedCompilers(),
  });
}

function jobs() {
  const asked = Number(process.env.CMAKE_BUILD_PARALLEL_LEVEL);
  if (asked > 0) return String(asked);
  const memory = process.constrainedMemory?.() || Infinity;
  const fitting = Math.floor(Math.min(os.totalmem(), memory) / bytesPerCompiler);
  return String(Math.max(1, Math.min(os.availableParallelism(), fitting)));
}

async function compile(plan, system, log) {
  const { config, out, options, targets } = plan;
  const key = JSON.stringify({ root, config, options });
  const fresh = fs.existsSync(path.join(out, 'CMakeCache.txt')) && JSON.stringify(remembered(out)) === key;
  const steps = fresh ? 1 : 2;
  if (options.length > 0) console.log(`CMake options: ${options.join(' ')}`);
  if (!fresh) {
    // A new cache, for an option left out would live on in the old one. Objects that stay valid are kept.
    fs.rmSync(path.join(out, 'CMakeCache.txt'), { force: true });
    fs.rmSync(rememberedFile(out), { force: true });
    const command = await configureCommand(system);
    await step(`Build 1/${steps}: configure`, [...command, ...options], out, log);
    fs.writeFileSync(rememberedFile(out), key);
  }
  const command = await system.getBuildCommand();
  const target = targets.length > 0 ? ['--target', ...targets] : [];
  await step(`Build ${steps}/${steps}: compile`, [...command, ...target], out, log);
}

async function configureCommand(system) {
  try {
    return await system.getConfigureCommand();
  } catch (error) {
    throw new Failure(`cmake-js: ${error.message}`, { cause: error });
  }
}

async function step(title, [command, ...args], cwd, log) {
  const line = progress(title);
  const started = Date.now();
  const tail = [];
  let worked = false;
  fs.writeSync(log, `\n> ${command} ${args.join(' ')}\n`);
  const { code, reason } = await run(command, args, {
    cwd,
    env: buildEnv(),
    onLine(text) {
      fs.writeSync(log, `${text}\n`);
      tail.push(text);
      if (tail.length > logTailLines) tail.shift();
      worked ||= /^\[.*(Building|Linking)/.test(text);
      if (/^\[\s*\d+(\/\d+|%)\]|^-- /.test(text)) line.update(brief(text));
    },
  });
  if (code === 0) {
    line.end(worked || Date.now() - started > 5000 ? 'done' : undefined);
    return;
  }
  line.end('failed');
  throw new Failure(`${tail.join('\n')}\n\n${title} failed (${reason}). The whole log: ${shown(logFile)}`);
}

/** `[12/340] Building CXX object vendor/…/llama.cpp.o` → `[12/340] llama.cpp` */
const brief = (text) =>
  text.replace(
    /^(\[[^\]]*\]) (?:Building|Linking) .* (\S+?)(\.o|\.obj)?$/,
    (_, count, file) => `${count} ${path.basename(file)}`,
  );

function buildEnv() {
  // We may run below node-gyp's make, whose job server is not ours.
  const makeless = { MAKEFLAGS: undefined, MFLAGS: undefined, MAKELEVEL: undefined };
  return cleanEnv({ NINJA_STATUS: '[%f/%t] ', ...makeless });
}

await entry(import.meta, async (args) => {
  const { values } = parseArgs({
    args,
    options: { debug: { type: 'boolean' }, target: { type: 'string', multiple: true } },
  });
  const started = Date.now();
  await build({ debug: values.debug, targets: values.target });
  const what = values.target?.join(', ') ?? shown(values.debug ? product.replace('Release', 'Debug') : product);
  console.log(`Ready: ${what} (${duration(Date.now() - started)})`);
});
