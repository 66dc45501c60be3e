/**
 * The limits that all are measured against, and llama-server: llama.cpp's own programs, built from the same sources with the
 * same options as the addon. `llama-batched-bench` decodes random tokens for N sequences and does nothing else: no sampling, no
 * text, nobody joins or leaves. `llama-bench` reads one prompt.
 *
 *     node bench/limit.mjs    builds them all: some ten minutes, goes on where it was interrupted
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { modified, newest, stamp } from '../scripts/parts/files.mjs';

const SOURCE = fileURLToPath(new URL('../vendor/llama.cpp', import.meta.url));
const COMPILER = fileURLToPath(new URL('../native/compiler.cmake', import.meta.url));
const BUILT_FROM = [
  '../native/compiler.cmake',
  '../native/compiler',
  '../native/aligned_work.h',
  '../vendor/llama.cpp.json',
].map((path) => fileURLToPath(new URL(path, import.meta.url)));
const BUILD = fileURLToPath(new URL('../build/limit', import.meta.url));
const TOOLS = ['llama-batched-bench', 'llama-bench', 'llama-server'];

/** What CMakeLists.txt sets for the addon, and the tools, of which only those are built that are asked for. */
const OPTIONS = {
  CMAKE_BUILD_TYPE: 'Release',
  CMAKE_POSITION_INDEPENDENT_CODE: 'ON',
  BUILD_SHARED_LIBS: 'OFF',
  GGML_NATIVE: 'ON',
  GGML_OPENMP: 'OFF',
  CMAKE_PROJECT_INCLUDE: COMPILER,
  LLAMA_BUILD_NUMBER: '0',
  LLAMA_BUILD_COMMIT: 'vendored',
  LLAMA_BUILD_COMMON: 'ON',
  LLAMA_BUILD_TOOLS: 'ON',
  LLAMA_BUILD_TESTS: 'OFF',
  LLAMA_BUILD_EXAMPLES: 'OFF',
  LLAMA_BUILD_SERVER: 'ON',
  LLAMA_BUILD_APP: 'OFF',
  LLAMA_BUILD_UI: 'OFF',
  LLAMA_USE_PREBUILT_UI: 'OFF',
  LLAMA_OPENSSL: 'OFF',
  LLAMA_SUBPROCESS: 'OFF',
};

/**
 * @typedef {object} LimitOptions
 * @property {string} model
 * @property {number} threads
 * @property {number} batchTokens
 * @property {number} promptTokens of each sequence
 * @property {number} generateTokens of each sequence
 * @property {number} sequences
 * @property {'f16' | 'q8_0' | 'q4_0'} [kvType]
 * @property {'unified' | 'streams'} [kvLayout]
 * @property {number} [gpuLayers]
 */

/** @typedef {{ prefillRate: number, rate: number }} Limit tokens per second, all sequences together */

export const LAYOUTS = /** @type {const} */ (['unified', 'streams']);

/**
 * One process per measurement: in the streams layout the pool is divided by the largest number of sequences of the run.
 * @param {LimitOptions} options
 * @returns {Promise<Limit>}
 */
export async function measureLimit(options) {
  const cells = options.sequences * (options.promptTokens + options.generateTokens);
  const args = [
    ['-m', options.model],
    ['-c', Math.max(cells, 256)],
    ['-t', options.threads],
    ['-tb', options.threads],
    ['-b', options.batchTokens],
    ['-ub', options.batchTokens],
    ['-npp', options.promptTokens],
    ['-ntg', options.generateTokens],
    ['-npl', options.sequences],
    ['-ctk', options.kvType ?? 'f16'],
    ['-ctv', options.kvType ?? 'f16'],
    ['-ngl', options.gpuLayers ?? 0],
    ['-fa', 'on'],
    options.kvLayout === 'streams' ? [] : ['-kvu'],
    ['--output-format', 'jsonl'],
  ];
  const result = (await jsonLines('llama-batched-bench', args))[0];
  return { prefillRate: result.speed_pp, rate: result.speed_tg };
}

/**
 * Tokens per second of one prompt, alone, with an empty KV cache.
 * @param {{ model: string, threads: number, batchTokens: number, promptTokens: number, repetitions?: number }} options
 * @returns {Promise<number>}
 */
export async function measurePrefillLimit({ model, threads, batchTokens, promptTokens, repetitions = 1 }) {
  const args = [
    ['-m', model],
    ['-t', threads],
    ['-b', batchTokens],
    ['-ub', batchTokens],
    ['-p', promptTokens],
    ['-n', 0],
    ['-r', repetitions],
    ['-ngl', 0],
    ['-fa', 1],
    ['-o', 'jsonl'],
  ];
  return (await jsonLines('llama-bench', args))[0].avg_ts;
}

/**
 * @param {string} tool
 * @param {(string | number)[][]} args
 * @returns {Promise<any[]>}
 */
async function jsonLines(tool, args) {
  // glibc wishes for huge pages then, as the addon does (native/huge_pages.c).
  const env = { ...process.env, GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };
  const running = promisify(execFile)(await buildTool(tool), args.flat().map(String), { env, maxBuffer: 1 << 26 });
  const end = () => running.child.kill();
  process.once('exit', end);
  const { stdout } = await running.finally(() => process.off('exit', end));
  const lines = stdout.split('\n').filter((text) => text.startsWith('{'));
  if (lines.length === 0) throw new Error(`${tool} gave no result`);
  return lines.map((line) => JSON.parse(line));
}

/**
 * A tool that can't be built or run is a failed measurement, not the end of the bench.
 * @template Found
 * @param {() => Promise<Found>} measure
 */
export const attempt = (measure) =>
  measure().catch((/** @type {Error} */ error) => ({ failed: error.message.split('\n')[0] }));

/** @type {Map<string, Promise<string>>} */
const building = new Map();

/**
 * The path of the binary, built on first use: some five minutes on two cores for the first one.
 * @param {string} tool
 */
export function buildTool(tool) {
  const built = building.get(tool) ?? build(tool);
  building.set(tool, built);
  return built;
}

/** Where the tool is once it has been built. @param {string} tool */
export const builtTool = (tool) => join(BUILD, 'bin', process.platform === 'win32' ? `${tool}.exe` : tool);

/** @param {string} tool */
async function build(tool) {
  const binary = builtTool(tool);
  const built = `${binary}.built`;
  if (modified(binary) && modified(built) > newest(...BUILT_FROM)) return binary;
  const started = Date.now();
  const ninja = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : [];
  const options = Object.entries(OPTIONS).map(([name, value]) => `-D${name}=${value}`);
  process.stderr.write(`building ${tool}, once, in build/limit; some minutes\n`);
  await run('cmake', ['-S', SOURCE, '-B', BUILD, ...ninja, ...options]);
  await run('cmake', ['--build', BUILD, '--config', 'Release', '--target', tool, '--parallel', '2']);
  stamp(built, started);
  return binary;
}

/**
 * The build's own progress goes to stderr; stdout belongs to the results.
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<void>}
 */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', process.stderr, process.stderr] });
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${command} exited with ${code}`))));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) for (const tool of TOOLS) console.log(await buildTool(tool));
