/**
 * The limit that throughput is measured against: llama.cpp's own `llama-batched-bench`, built from the same sources with the
 * same options as the addon. It decodes random tokens and does nothing else: no sampling, no text, nobody joins or leaves.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SOURCE = fileURLToPath(new URL('../vendor/llama.cpp', import.meta.url));
const BUILD = fileURLToPath(new URL('../build/limit', import.meta.url));
const TARGET = 'llama-batched-bench';

/** What CMakeLists.txt sets for the addon, and the tools, of which only one is built. */
const OPTIONS = {
  CMAKE_BUILD_TYPE: 'Release',
  CMAKE_POSITION_INDEPENDENT_CODE: 'ON',
  BUILD_SHARED_LIBS: 'OFF',
  GGML_NATIVE: 'ON',
  GGML_OPENMP: 'OFF',
  LLAMA_BUILD_NUMBER: '0',
  LLAMA_BUILD_COMMIT: 'vendored',
  LLAMA_BUILD_COMMON: 'ON',
  LLAMA_BUILD_TOOLS: 'ON',
  LLAMA_BUILD_TESTS: 'OFF',
  LLAMA_BUILD_EXAMPLES: 'OFF',
  LLAMA_BUILD_SERVER: 'OFF',
  LLAMA_BUILD_APP: 'OFF',
  LLAMA_BUILD_UI: 'OFF',
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

/** @typedef {{ prefillPerSecond: number, generatePerSecond: number }} Limit tokens, all sequences together */

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
  const { stdout } = await promisify(execFile)(await buildLimit(), args.flat().map(String), { maxBuffer: 1 << 26 });
  const line = stdout.split('\n').find((text) => text.startsWith('{'));
  if (!line) throw new Error(`${TARGET} gave no result`);
  const result = JSON.parse(line);
  return { prefillPerSecond: result.speed_pp, generatePerSecond: result.speed_tg };
}

/** @type {Promise<string> | undefined} */
let building;

/** The path of the binary, built on first use: some five minutes on two cores. */
export function buildLimit() {
  return (building ??= build());
}

async function build() {
  const binary = join(BUILD, 'bin', process.platform === 'win32' ? `${TARGET}.exe` : TARGET);
  if (existsSync(binary)) return binary;
  const ninja = spawnSync('ninja', ['--version']).status === 0 ? ['-G', 'Ninja'] : [];
  const options = Object.entries(OPTIONS).map(([name, value]) => `-D${name}=${value}`);
  process.stderr.write(`building ${TARGET}, once, in build/limit; some minutes\n`);
  await run('cmake', ['-S', SOURCE, '-B', BUILD, ...ninja, ...options]);
  await run('cmake', ['--build', BUILD, '--config', 'Release', '--target', TARGET, '--parallel', '2']);
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

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildLimit());
