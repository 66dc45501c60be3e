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
import { encodeHeader } from './gguf.mjs';
import { endProgress, progress } from './report.mjs';
import { SHAPES } from './shapes.mjs';
import { awkwardTokens, loadVocabulary, vocabularySize } from './vocabulary.mjs';
import { weights } from './weights.mjs';

/** @typedef {import('./shapes.mjs').Shape} Shape */
/** @typedef {import('./gguf.mjs').TensorShape} TensorShape */
/** @typedef {import('./gguf.mjs').Value} Value */

/**
 * Makes the file unless it is there already.
 * @param {Shape} shape
 * @param {string} path
 * @param {{ name?: string, seed?: number, onProgress?: (fraction: number) => void }} [options]
 * @returns {{ path: string, bytes: number, parameters: number, made: boolean }}
 */
export function generateModel(shape, path, { name = 'generated', seed = 1, onProgress } = {}) {
  const vocabulary = loadVocabulary(shape.vocab, shape.vocabTokens);
  const tensors = tensorsOf(shape, vocabularySize(vocabulary));
  const header = encodeHeader(metadataOf(shape, name, seed, vocabulary), tensors);
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
 * Names and shapes as llama.cpp's src/models/ expects them.
 * @param {Shape} shape
 * @param {number} tokens
 * @returns {TensorShape[]}
 */
function tensorsOf({ architecture, layers, width, heads, kvHeads, headDim, feedForward, type, tied }, tokens) {
  /** @type {(name: string, ...shape: number[]) => TensorShape} */
  const matrix = (tensor, ...shape) => ({ name: `${tensor}.weight`, type, shape });
  /** @type {(name: string, length: number) => TensorShape} */
  const vector = (tensor, length) => ({ name: tensor, type: 'f32', shape: [length] });
  const [queries, keys] = [heads * headDim, kvHeads * headDim];

  /** @param {string} block */
  const layer = (block) => [
    vector(`${block}.attn_norm.weight`, width),
    matrix(`${block}.attn_q`, width, queries),
    matrix(`${block}.attn_k`, width, keys),
    matrix(`${block}.attn_v`, width, keys),
    ...(architecture === 'qwen2'
      ? [
          vector(`${block}.attn_q.bias`, queries),
          vector(`${block}.attn_k.bias`, keys),
          vector(`${block}.attn_v.bias`, keys),
        ]
      : []),
    matrix(`${block}.attn_output`, queries, width),
    vector(`${block}.ffn_norm.weight`, width),
    matrix(`${block}.ffn_gate`, width, feedForward),
    matrix(`${block}.ffn_up`, width, feedForward),
    matrix(`${block}.ffn_down`, feedForward, width),
  ];
  return [
    matrix('token_embd', width, tokens),
    ...Array.from({ length: layers }, (_, i) => layer(`blk.${i}`)).flat(),
    vector('output_norm.weight', width),
    ...(tied ? [] : [matrix('output', width, tokens)]),
  ];
}

/**
 * @param {Shape} shape
 * @param {string} name
 * @param {number} seed
 * @param {Map<string, Value>} vocabulary
 * @returns {Map<string, Value>}
 */
function metadataOf(shape, name, seed, vocabulary) {
  const { architecture } = shape;
  /** @type {(value: number) => Value} */
  const u32 = (value) => ({ type: 'u32', value });
  /** @type {[string, Value][]} */
  const entries = [
    ['general.architecture', { type: 'string', value: architecture }],
    ['general.name', { type: 'string', value: `${name}, random weights` }],
    ['general.file_type', u32({ f32: 0, f16: 1, q4_0: 2, q8_0: 7 }[shape.type])],
    ['general.quantization_version', u32(2)],
    ['generated.seed', u32(seed)], // makes a file of another seed another file
    [`${architecture}.block_count`, u32(shape.layers)],
    [`${architecture}.context_length`, u32(shape.context)],
    [`${architecture}.embedding_length`, u32(shape.width)],
    [`${architecture}.feed_forward_length`, u32(shape.feedForward)],
    [`${architecture}.attention.head_count`, u32(shape.heads)],
    [`${architecture}.attention.head_count_kv`, u32(shape.kvHeads)],
    [`${architecture}.attention.key_length`, u32(shape.headDim)],
    [`${architecture}.attention.value_length`, u32(shape.headDim)],
    [`${architecture}.rope.dimension_count`, u32(shape.headDim)],
    [`${architecture}.rope.freq_base`, { type: 'f32', value: 1e6 }],
    [`${architecture}.attention.layer_norm_rms_epsilon`, { type: 'f32', value: 1e-6 }],
    [`${architecture}.vocab_size`, u32(vocabularySize(vocabulary))],
  ];
  return new Map([...entries, ...vocabulary]);
}

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
