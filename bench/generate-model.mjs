/**
 * Makes a GGUF model of any shape, with a real vocabulary and random weights: what a benchmark needs, without a download.
 * Always the same file for the same shape and seed.
 *
 *   node bench/generate-model.mjs --shape 0.5b [--out FILE] [--type q8_0] [--seed 1] [--layers 12] …
 */
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { metadataOf, tensorsOf } from './architectures.mjs';
import { encodeHeader } from './gguf.mjs';
import { endProgress, progress } from './report.mjs';
import { SHAPES } from './shapes.mjs';
import { awkwardTokens, loadVocabulary, vocabularySize } from './vocabulary.mjs';
import { weights } from './weights.mjs';

/** @typedef {import('./shapes.mjs').Shape} Shape */

/**
 * Makes the file unless it is there already.
 * @param {Shape} shape
 * @param {string} path
 * @param {{ name?: string, seed?: number, onProgress?: (fraction: number) => void }} [options]
 * @returns {{ path: string, bytes: number, parameters: number, made: boolean }}
 */
export function generateModel(shape, path, { name = 'generated', seed = 1, onProgress } = {}) {
  const vocabulary = loadVocabulary(shape.vocab, shape.vocabTokens, shape.template);
  const tensors = tensorsOf(shape, vocabularySize(vocabulary));
  const metadata = metadataOf(shape, vocabularySize(vocabulary));
  metadata.set('general.name', { type: 'string', value: `${name}, random weights` });
  metadata.set('generated.seed', { type: 'u32', value: seed }); // makes a file of another seed another file
  const header = encodeHeader(new Map([...metadata, ...vocabulary]), tensors);
  const parameters = tensors.reduce((sum, { shape: [columns, rows = 1] }) => sum + columns * rows, 0);
  const made = !isThere(path, header);
  if (made) writeModel(path, header, seed, awkwardTokens(vocabulary), onProgress);
  return { path, bytes: header.fileBytes, parameters, made };
}

/**
 * The named model, made on first use.
 * @param {string} name
 * @param {(fraction: number) => void} [onProgress]
 */
export function namedModel(name, onProgress) {
  const shape = namedShape(name);
  return generateModel(shape, defaultPath(name, shape), { name, onProgress }).path;
}

/** @param {string} name */
function namedShape(name) {
  const shape = SHAPES[name];
  if (!shape) throw new RangeError(`no shape ${name}; there are ${Object.keys(SHAPES).join(', ')}`);
  return shape;
}

/**
 * @param {string} name
 * @param {Shape} shape
 */
const defaultPath = (name, shape) => fileURLToPath(new URL(`models/${name}-${shape.type}.gguf`, import.meta.url));

/**
 * Same size and same header, which names shape and seed: the same file.
 * @param {string} path
 * @param {ReturnType<typeof encodeHeader>} header
 */
function isThere(path, header) {
  if (!existsSync(path) || statSync(path).size !== header.fileBytes) return false;
  const file = openSync(path, 'r');
  try {
    const found = Buffer.alloc(header.bytes.length);
    readSync(file, found, 0, found.length, 0);
    return found.equals(header.bytes);
  } finally {
    closeSync(file);
  }
}

/**
 * @param {string} path
 * @param {ReturnType<typeof encodeHeader>} header
 * @param {number} seed
 * @param {boolean[]} awkward
 * @param {(fraction: number) => void} [onProgress]
 */
function writeModel(path, header, seed, awkward, onProgress) {
  mkdirSync(dirname(path), { recursive: true });
  const unfinished = `${path}.${process.pid}.part`; // a bench started twice must not meet half a file
  const file = openSync(unfinished, 'w');
  const outputLayer = header.tensors.find(({ name }) => name === 'output.weight') ?? header.tensors[0];
  try {
    writeSync(file, header.bytes, 0, header.bytes.length, 0);
    for (const tensor of header.tensors) {
      let at = tensor.offset;
      for (const chunk of weights(tensor, seed, tensor === outputLayer ? awkward : undefined)) {
        at += writeSync(file, chunk, 0, chunk.length, at);
        onProgress?.(at / header.fileBytes);
      }
    }
    const last = /** @type {import('./gguf.mjs').Tensor} */ (header.tensors.at(-1));
    const padding = header.fileBytes - last.offset - last.bytes;
    writeSync(file, Buffer.alloc(padding), 0, padding, header.fileBytes - padding);
  } catch (error) {
    closeSync(file);
    rmSync(unfinished, { force: true });
    throw error;
  }
  closeSync(file);
  renameSync(unfinished, path);
}

const NUMBERS = ['layers', 'width', 'heads', 'kvHeads', 'headDim', 'feedForward', 'context', 'vocabTokens'];
const NAMES = ['architecture', 'vocab', 'type'];

function main() {
  const text = /** @type {const} */ ({ type: 'string' });
  const { values } = parseArgs({
    options: {
      shape: { type: 'string', default: '0.5b' },
      out: text,
      seed: { type: 'string', default: '1' },
      tied: { type: 'boolean' },
      ...Object.fromEntries([...NUMBERS, ...NAMES].map((option) => [option, text])),
    },
    allowNegative: true,
  });
  const { shape: name, out, seed, ...changes } = /** @type {Record<string, any>} */ (values);
  for (const option of NUMBERS) if (option in changes) changes[option] = Number(changes[option]);
  const shape = { ...namedShape(name), ...changes };

  const started = performance.now();
  const onProgress = (/** @type {number} */ fraction) => progress(`${Math.round(fraction * 100)} %`);
  const result = generateModel(shape, out ?? defaultPath(name, shape), { name, seed: Number(seed), onProgress });
  endProgress();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const [millions, megabytes] = [result.parameters, result.bytes].map((count) => (count / 1e6).toFixed(1));
  const done = result.made ? `made in ${seconds} s` : 'already there';
  console.log(`${result.path}: ${millions} million parameters, ${megabytes} MB, ${done}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
