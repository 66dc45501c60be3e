/**
 * GGUF version 3: reads and writes the header of a model file. Little-endian throughout, like every machine llama.cpp is
 * built for here. The specification is ggml/include/gguf.h.
 */
import { closeSync, openSync, readSync } from 'node:fs';

/** @typedef {'u8'|'i8'|'u16'|'i16'|'u32'|'i32'|'f32'|'bool'|'string'|'array'|'u64'|'i64'|'f64'} ValueType */
/** @typedef {{ type: ValueType, of?: ValueType, value: any }} Value  `of` is the type of an array's elements */
/** @typedef {'f32'|'f16'|'q4_0'|'q8_0'} TensorType */
/**
 * Row length first, as in ggml. `fill`, of f32 only: the one number it holds, or all it holds; absent: random ones.
 * @typedef {{ name: string, type: TensorType, shape: number[], fill?: number | number[] }} TensorShape
 */
/** @typedef {TensorShape & { offset: number, bytes: number }} Tensor  `offset` counts from the start of the file */
/** @typedef {{ metadata: Map<string, Value>, tensors: Tensor[], dataOffset: number, fileBytes: number }} Header */

const MAGIC = 0x46554747; // 'GGUF'
const VERSION = 3;
const ALIGNMENT = 32;

/** @type {ValueType[]} */
const VALUE_TYPES = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array', 'u64', 'i64', 'f64'];

/** ggml's own number of a tensor type, and how many bytes a block of how many weights takes. */
export const TENSOR_TYPES = {
  f32: { id: 0, blockWeights: 1, blockBytes: 4 },
  f16: { id: 1, blockWeights: 1, blockBytes: 2 },
  q4_0: { id: 2, blockWeights: 32, blockBytes: 18 },
  q8_0: { id: 8, blockWeights: 32, blockBytes: 34 },
};

/** @param {number} bytes */
const align = (bytes) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** @param {TensorShape} tensor */
export function tensorBytes({ name, type, shape }) {
  const { blockWeights, blockBytes } = TENSOR_TYPES[type];
  if (shape[0] % blockWeights) throw new RangeError(`${name}: rows of ${shape[0]} are no multiple of ${blockWeights}`);
  return (shape.reduce((product, n) => product * n, 1) / blockWeights) * blockBytes;
}

/**
 * The bytes of a header, and where each tensor has to be written.
 * @param {Map<string, Value>} metadata
 * @param {TensorShape[]} shapes
 * @returns {Header & { bytes: Buffer }} `bytes` ends where the tensor data begins
 */
export function encodeHeader(metadata, shapes) {
  const out = new ByteWriter();
  out.number('u32', MAGIC).number('u32', VERSION).number('u64', shapes.length).number('u64', metadata.size);
  for (const [key, { type, of, value }] of metadata) {
    out.string(key).number('u32', VALUE_TYPES.indexOf(type)).value(type, value, of);
  }
  let dataBytes = 0;
  const tensors = shapes.map((tensor) => {
    const bytes = tensorBytes(tensor);
    out.string(tensor.name).number('u32', tensor.shape.length);
    for (const n of tensor.shape) out.number('u64', n);
    out.number('u32', TENSOR_TYPES[tensor.type].id).number('u64', dataBytes);
    const placed = { ...tensor, offset: dataBytes, bytes };
    dataBytes += align(bytes);
    return placed;
  });
  const header = out.bytes();
  const bytes = Buffer.concat([header, Buffer.alloc(align(header.length) - header.length)]);
  for (const tensor of tensors) tensor.offset += bytes.length;
  return { metadata, tensors, dataOffset: bytes.length, fileBytes: bytes.length + dataBytes, bytes };
}

/**
 * @param {string} path
 * @returns {Header}
 */
export function readHeader(path) {
  const file = openSync(path, 'r');
  try {
    return decodeHeader(new FileReader(file));
  } finally {
    closeSync(file);
  }
}

/** @param {FileReader} input */
function decodeHeader(input) {
  if (input.number('u32') !== MAGIC) throw new Error('not a GGUF file');
  if (input.number('u32') !== VERSION) throw new Error(`not GGUF version ${VERSION}`);
  const [tensorCount, valueCount] = [input.number('u64'), input.number('u64')];
  const metadata = new Map();
  for (let i = 0; i < valueCount; i++) metadata.set(input.string(), input.value(VALUE_TYPES[input.number('u32')]));
  /** @type {Tensor[]} */
  const tensors = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = input.string();
    const shape = Array.from({ length: input.number('u32') }, () => input.number('u64'));
    const id = input.number('u32');
    const type = /** @type {TensorType} */ (Object.entries(TENSOR_TYPES).find(([, known]) => known.id === id)?.[0]);
    if (!type) throw new Error(`${name}: tensor type ${id} is not known here`);
    tensors.push({ name, type, shape, offset: input.number('u64'), bytes: tensorBytes({ name, type, shape }) });
  }
  const dataOffset = align(input.position);
  for (const tensor of tensors) tensor.offset += dataOffset;
  const last = tensors.at(-1);
  return { metadata, tensors, dataOffset, fileBytes: last ? last.offset + align(last.bytes) : dataOffset };
}

const NUMBER_BYTES = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, bool: 1, u64: 8, i64: 8, f64: 8 };

/** Reads a file front to back through one chunk: a header is up to 16 MB of small values, the file many gigabytes. */
class FileReader {
  position = 0;
  #file;
  #chunk = Buffer.alloc(0);
  #at = 0;

  /** @param {number} file */
  constructor(file) {
    this.#file = file;
  }

  /** @param {number} bytes */
  #take(bytes) {
    if (this.#at + bytes > this.#chunk.length) this.#refill(bytes);
    const taken = this.#chunk.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    this.position += bytes;
    return taken;
  }

  /** @param {number} bytes */
  #refill(bytes) {
    const chunk = Buffer.alloc(Math.max(bytes, 1 << 20));
    const read = readSync(this.#file, chunk, 0, chunk.length, this.position);
    if (read < bytes) throw new Error('the file ends inside its header');
    this.#chunk = chunk.subarray(0, read);
    this.#at = 0;
  }

  /** @param {ValueType} type */
  number(type) {
    const bytes = this.#take(NUMBER_BYTES[/** @type {keyof typeof NUMBER_BYTES} */ (type)]);
    if (type === 'f32') return bytes.readFloatLE();
    if (type === 'f64') return bytes.readDoubleLE();
    if (type === 'u64') return Number(bytes.readBigUInt64LE());
    if (type === 'i64') return Number(bytes.readBigInt64LE());
    return type[0] === 'i' ? bytes.readIntLE(0, bytes.length) : bytes.readUIntLE(0, bytes.length);
  }

  string() {
    return this.#take(this.number('u64')).toString('utf8');
  }

  /**
   * @param {ValueType} type
   * @returns {Value}
   */
  value(type) {
    if (type !== 'array') return { type, value: this.#scalar(type) };
    const of = VALUE_TYPES[this.number('u32')];
    const value = new Array(this.number('u64'));
    for (let i = 0; i < value.length; i++) value[i] = this.#scalar(of);
    return { type, of, value };
  }

  /** @param {ValueType} type */
  #scalar(type) {
    if (type === 'string') return this.string();
    return type === 'bool' ? this.number('u8') !== 0 : this.number(type);
  }
}

class ByteWriter {
  #buffer = Buffer.alloc(1 << 20);
  #length = 0;

  bytes() {
    return this.#buffer.subarray(0, this.#length);
  }

  /** @param {number} bytes */
  #grow(bytes) {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#buffer.length) {
      this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(Math.max(bytes, this.#buffer.length))]);
    }
    return at;
  }

  /**
   * @param {ValueType} type
   * @param {number | boolean} value
   */
  number(type, value) {
    const bytes = NUMBER_BYTES[/** @type {keyof typeof NUMBER_BYTES} */ (type)];
    const at = this.#grow(bytes);
    if (type === 'f32') this.#buffer.writeFloatLE(Number(value), at);
    else if (type === 'f64') this.#buffer.writeDoubleLE(Number(value), at);
    else if (type === 'u64') this.#buffer.writeBigUInt64LE(BigInt(value), at);
    else if (type === 'i64') this.#buffer.writeBigInt64LE(BigInt(value), at);
    else if (type[0] === 'i') this.#buffer.writeIntLE(Number(value), at, bytes);
    else this.#buffer.writeUIntLE(Number(value), at, bytes);
    return this;
  }

  /** @param {string} text */
  string(text) {
    const bytes = Buffer.byteLength(text);
    this.number('u64', bytes);
    const at = this.#grow(bytes);
    this.#buffer.write(text, at);
    return this;
  }

  /**
   * @param {ValueType} type
   * @param {any} value
   * @param {ValueType} [of]
   * @returns {this}
   */
  value(type, value, of) {
    if (type === 'string') return this.string(value);
    if (type !== 'array' || !of) return this.number(type, value);
    this.number('u32', VALUE_TYPES.indexOf(of)).number('u64', value.length);
    for (const element of value) this.value(of, element);
    return this;
  }
}
