/**
 * Random weights, written directly as blocks of the tensor's type: quantising floats would take minutes and change nothing.
 * Each is drawn with deviation 1/sqrt(row length), which keeps activations finite through any number of layers. A tensor
 * that must not be random says what it holds (`fill`).
 */
import { createCipheriv, createHash } from 'node:crypto';
import { TENSOR_TYPES } from './gguf.mjs';

/** @typedef {import('./gguf.mjs').TensorShape} TensorShape */

const CHUNK_BYTES = 4 << 20;
const QUIET = 1 / 16;

/**
 * The tensor's bytes, in chunks of whole rows.
 * @param {TensorShape} tensor
 * @param {number} seed
 * @param {boolean[]} [quietRows] rows whose weights are 16 times smaller
 * @returns {Generator<Buffer>}
 */
export function* weights(tensor, seed, quietRows) {
  const [rowLength, rows = 1] = tensor.shape;
  const { blockWeights, blockBytes } = TENSOR_TYPES[tensor.type];
  const rowBytes = (rowLength / blockWeights) * blockBytes;
  const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  const random = randomBytes(`${seed} ${tensor.name}`);
  const [loud, quiet] = [1, QUIET].map((factor) => rowFiller(tensor, factor));
  for (let first = 0; first < rows; first += rowsPerChunk) {
    const chunk = random(Math.min(rowsPerChunk, rows - first) * rowBytes);
    for (let at = 0; at < chunk.length; at += rowBytes) {
      const fill = quietRows?.[first + at / rowBytes] ? quiet : loud;
      fill(chunk.subarray(at, at + rowBytes));
    }
    yield chunk;
  }
}

/**
 * A stream of its own for each tensor, so that one tensor's bytes do not depend on the others: a cipher's key stream is the
 * fastest generator that Node has, and seedable.
 * @param {string} name
 */
function randomBytes(name) {
  const key = createHash('sha256').update(name).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  return (/** @type {number} */ bytes) => cipher.update(Buffer.alloc(bytes));
}

/**
 * Turns a row of random bytes into a row of weights, in place. To be called for one row after the other.
 * @param {TensorShape} tensor
 * @param {number} factor
 * @returns {(row: Buffer) => void}
 */
function rowFiller({ type, shape, fill }, factor) {
  const deviation = factor / Math.sqrt(shape[0]);
  if (type === 'q4_0') return (row) => setScales(row, 9, deviation / 4.64); // 4.64: deviation of 0..15 around 8
  if (type === 'q8_0') return (row) => setScales(row, 17, deviation / 73.9); // 73.9: deviation of -128..127
  if (type === 'f16') return (row) => drawFromTable(row, gaussianTable(deviation));
  if (fill === undefined) return (row) => drawFloats(row, deviation);
  if (typeof fill === 'number') return (row) => floats(row).fill(fill);
  let next = 0;
  return (row) => floats(row).set(fill.slice(next, (next += shape[0])));
}

/**
 * Quants stay as random as they are; the scale in front of each block gets a random sign, which centres weights on zero, and
 * a magnitude that varies by some percent.
 * @param {Buffer} row
 * @param {number} blockHalves 16-bit words of a block, the first of which is its scale
 * @param {number} scale
 */
function setScales(row, blockHalves, scale) {
  const words = halves(row);
  const bits = halfBits(scale) & 0x7fc0;
  for (let i = 0; i < words.length; i += blockHalves) words[i] = bits | (words[i] & 0x803f);
}

/**
 * @param {Buffer} row
 * @param {Uint16Array} table 65,536 values
 */
function drawFromTable(row, table) {
  const words = halves(row);
  for (let i = 0; i < words.length; i++) words[i] = table[words[i]];
}

/** @type {Map<number, Uint16Array>} */
const tables = new Map();

/**
 * Evenly spaced quantiles of a distribution close to normal (a sum of four uniform ones), in half precision.
 * @param {number} deviation
 */
function gaussianTable(deviation) {
  let table = tables.get(deviation);
  if (!table) {
    table = Uint16Array.from({ length: 65536 }, (_, i) => halfBits(gaussian(i) * deviation));
    tables.set(deviation, table);
  }
  return table;
}

/**
 * Deviation 1.
 * @param {number} bits 16 random ones
 */
function gaussian(bits) {
  const uniform = [0, 4, 8, 12].map((shift) => ((bits >> shift) & 15) / 7.5 - 1);
  // The deviation of one uniform number in -1..1 is 1/sqrt(3), of four twice that.
  return (uniform.reduce((sum, x) => sum + x, 0) * Math.sqrt(3)) / 2;
}

/**
 * For tensors that llama.cpp takes as floats only, all of them small.
 * @param {Buffer} row
 * @param {number} deviation
 */
function drawFloats(row, deviation) {
  const words = floats(row);
  for (let i = 0; i < words.length; i++) words[i] = gaussian(row.readUInt16LE(4 * i)) * deviation;
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The bits of the nearest half-precision number. @param {number} value */
export function halfBits(value) {
  scratch[0] = value;
  const bits = scratchBits[0];
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112; // rebased from 127 to 15
  if (exponent >= 31) return sign | 0x7c00;
  if (exponent <= 0) return sign | Math.round(Math.abs(value) * 2 ** 24); // subnormal: steps of 2^-24
  return sign | (((exponent << 10) | ((bits >>> 13) & 0x3ff)) + ((bits >>> 12) & 1)); // a carry moves into the exponent
}

/** @param {Buffer} row */
const halves = (row) => new Uint16Array(row.buffer, row.byteOffset, row.length / 2);
/** @param {Buffer} row */
const floats = (row) => new Float32Array(row.buffer, row.byteOffset, row.length / 4);
