/**
 * The fastest that a step could be on this machine: what it must read, at the speed of the memory, or what it must compute, at the
 * speed at which llama.cpp multiplies large matrices; whichever takes longer.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readHeader } from './gguf.mjs';
import { measurePrefillLimit } from './limit.mjs';

/**
 * @typedef {object} Roofline
 * @property {number} bandwidth bytes per second; the faster of triad and plain reading
 * @property {number} triad bytes per second
 * @property {number} flops per second
 * @property {number} weightBytes that a step reads
 * @property {number} weights that a token is multiplied with
 * @property {number} kvBytes of a token, f16
 */

const BUILD = fileURLToPath(new URL('../build', import.meta.url));
const SOURCE = fileURLToPath(new URL('triad.c', import.meta.url));

/** @param {number} threads @returns {{ triad: number, read: number }} bytes per second */
function measureMemory(threads) {
  const program = `${BUILD}/triad`;
  if (!existsSync(program)) {
    mkdirSync(BUILD, { recursive: true });
    execFileSync('cc', ['-O3', '-march=native', '-ffast-math', '-pthread', '-o', program, SOURCE]);
  }
  return JSON.parse(execFileSync(program, [String(threads)], { encoding: 'utf8' }));
}

/** What a model asks of the machine. @param {string} path */
export function needs(path) {
  const { metadata, tensors } = readHeader(path);
  const number = (/** @type {string} */ name) => {
    const architecture = metadata.get('general.architecture')?.value;
    return Number(metadata.get(`${architecture}.${name}`)?.value);
  };
  const matrices = tensors.filter(({ shape }) => shape.length > 1);
  const tied = !tensors.some(({ name }) => name === 'output.weight');
  // Of an embedding only the rows of the tokens are read; unless it is the output layer as well.
  const used = matrices.filter(({ name }) => tied || name !== 'token_embd.weight');
  const output = tensors.find(({ name }) => name === (tied ? 'token_embd.weight' : 'output.weight'));
  const count = (/** @type {number[]} */ shape) => shape.reduce((product, n) => product * n, 1);
  const weights = used.reduce((sum, { shape }) => sum + count(shape), 0);
  const headDim = number('attention.key_length') || number('embedding_length') / number('attention.head_count');
  return {
    weightBytes: used.reduce((sum, { bytes }) => sum + bytes, 0),
    weights,
    outputWeights: output ? count(output.shape) : 0,
    kvBytes: number('block_count') * number('attention.head_count_kv') * headDim * 2 * 2,
    attention: 2 * number('block_count') * number('attention.head_count') * headDim,
  };
}

/**
 * Measured now: bandwidth with `threads` threads, FLOP/s from llama-bench's prefill of 512 tokens.
 * @param {{ model: string, threads: number, batchTokens: number }} settings
 * @returns {Promise<Roofline>}
 */
export async function measureRoofline({ model, threads, batchTokens }) {
  const { triad, read } = measureMemory(threads);
  const { weightBytes, weights, outputWeights, kvBytes, attention } = needs(model);
  const rate = await measurePrefillLimit({ model, threads, batchTokens, promptTokens: 512, repetitions: 3 });
  // Prefill needs the output layer for one token of all.
  const flops = rate * (2 * (weights - outputWeights) + attention * 512);
  return { bandwidth: Math.max(triad, read), triad, flops, weightBytes, weights, kvBytes };
}

/**
 * Milliseconds that a step takes at least: one token for each of `sequences`, with `tokens` of history in all.
 * @param {Roofline} roofline
 * @param {number} sequences
 * @param {number} tokens
 */
export function fastestStepMs({ bandwidth, flops, weightBytes, weights, kvBytes }, sequences, tokens) {
  return 1000 * Math.max((weightBytes + kvBytes * tokens) / bandwidth, (2 * weights * sequences) / flops);
}
