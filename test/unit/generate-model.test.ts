import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateModel } from '../../bench/generate-model.mjs';
import { readHeader, tensorBytes } from '../../bench/gguf.mjs';
import { SHAPES } from '../../bench/shapes.mjs';
import { awkwardTokens, loadVocabulary, vocabularySize } from '../../bench/vocabulary.mjs';
import { halfBits, weights } from '../../bench/weights.mjs';

let directory: string;
let path: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'generate-model-'));
  path = join(directory, 'tiny.gguf');
  generateModel(SHAPES.tiny!, path);
});
afterAll(() => rmSync(directory, { recursive: true }));

test('the header reads back as it was written', () => {
  const { metadata, tensors } = readHeader(path);
  expect(metadata.get('general.architecture')).toEqual({ type: 'string', value: 'llama' });
  expect(metadata.get('llama.block_count')).toEqual({ type: 'u32', value: 2 });
  expect(metadata.get('llama.rope.freq_base')).toEqual({ type: 'f32', value: 1e6 });
  expect(metadata.get('tokenizer.ggml.tokens')?.value).toHaveLength(1024);
  const tokens = metadata.get('tokenizer.ggml.tokens')?.value as string[];
  expect(tokens.slice(-3)).toEqual(['<|endoftext|>', '<|im_start|>', '<|im_end|>']);
  expect(metadata.get('tokenizer.chat_template')?.value).toContain('<|im_start|>');
  expect(tensors).toHaveLength(1 + 2 * 9 + 2);
  expect(tensors[0]).toMatchObject({ name: 'token_embd.weight', type: 'f16', shape: [128, 1024] });
});

test('tensors lie one behind the other, aligned, and fill the file', () => {
  const { tensors, dataOffset, fileBytes } = readHeader(path);
  let end = dataOffset;
  for (const tensor of tensors) {
    expect(tensor.offset % 32).toBe(0);
    expect(tensor.offset).toBeGreaterThanOrEqual(end);
    expect(tensor.offset - end).toBeLessThan(32);
    end = tensor.offset + tensor.bytes;
  }
  expect(statSync(path).size).toBe(fileBytes);
  expect(fileBytes).toBe(Math.ceil(end / 32) * 32);
});

test('the same seed makes the same file, another seed another', () => {
  const [same, other] = [join(directory, 'same.gguf'), join(directory, 'other.gguf')];
  generateModel(SHAPES.tiny!, same);
  generateModel(SHAPES.tiny!, other, { seed: 2 });
  expect(readFileSync(same).equals(readFileSync(path))).toBe(true);
  expect(readFileSync(other).equals(readFileSync(path))).toBe(false);
});

test('a file that is there is kept; one of another seed is replaced, though its size is the same', () => {
  const copy = join(directory, 'kept.gguf');
  expect(generateModel(SHAPES.tiny!, copy).made).toBe(true);
  utimesSync(copy, 1, 1);
  expect(generateModel(SHAPES.tiny!, copy).made).toBe(false);
  expect(statSync(copy).mtimeMs).toBe(1000);
  expect(generateModel(SHAPES.tiny!, copy, { seed: 2 }).made).toBe(true);
});

test.each(['f32', 'f16', 'q8_0', 'q4_0'] as const)(
  '%s weights centre on zero with deviation 1/sqrt(row length)',
  (type) => {
    const shape = [512, 256];
    const bytes = Buffer.concat([...weights({ name: 'a.weight', type, shape }, 1)]);
    expect(bytes).toHaveLength(tensorBytes({ name: 'a.weight', type, shape }));
    const values = decode(bytes, type);
    expect(values).toHaveLength(512 * 256);
    expect(Math.abs(mean(values))).toBeLessThan(0.002);
    const deviation = Math.sqrt(mean(values.map((x) => x * x)));
    expect(deviation * Math.sqrt(512)).toBeGreaterThan(0.93);
    expect(deviation * Math.sqrt(512)).toBeLessThan(1.07);
  },
);

test('quiet rows are 16 times smaller', () => {
  const tensor = { name: 'a.weight', type: 'q8_0' as const, shape: [256, 2] };
  const rows = decode(Buffer.concat([...weights(tensor, 1, [false, true])]), 'q8_0');
  const [loud, quiet] = [rows.slice(0, 256), rows.slice(256)].map((row) => Math.sqrt(mean(row.map((x) => x * x))));
  expect(loud! / quiet!).toBeGreaterThan(12);
  expect(loud! / quiet!).toBeLessThan(20);
});

test('a tensor that says what it holds is not random', () => {
  const held = (fill: number | number[]) =>
    decode(Buffer.concat([...weights({ name: 'a', type: 'f32', shape: [1, 3], fill }, 1)]), 'f32');
  expect(held(0.5)).toEqual([0.5, 0.5, 0.5]);
  expect(held([1, -2, 0.25])).toEqual([1, -2, 0.25]);
});

test.each([
  { name: 'tiny-window', architecture: 'granite_swa', keyHeads: 1, states: [], attention: [0, 1, 2, 3] },
  { name: 'tiny-recurrent', architecture: 'mamba2', keyHeads: [0, 0, 0], states: [0, 1, 2], attention: [] },
  { name: 'tiny-hybrid', architecture: 'granitehybrid', keyHeads: [0, 1, 0, 1], states: [0, 2], attention: [1, 3] },
])('$name: which layers have a state, and which attend', ({ name, architecture, keyHeads, states, attention }) => {
  const kind = join(directory, `${name}.gguf`);
  generateModel(SHAPES[name]!, kind);
  const { metadata, tensors } = readHeader(kind);
  expect(metadata.get('general.architecture')?.value).toBe(architecture);
  expect(metadata.get(`${architecture}.attention.head_count_kv`)?.value).toEqual(keyHeads);
  const layersWith = (part: string) =>
    tensors.filter((tensor) => tensor.name.endsWith(part)).map(({ name }) => name[4]);
  expect(layersWith('.ssm_in.weight')).toEqual(states.map(String));
  expect(layersWith('.attn_q.weight')).toEqual(attention.map(String));
});

test('half precision', () => {
  const bits = [0, 1, -2, 0.5, 65504, 1e6, 2 ** -24, 1 / 3, 2047 / 2048].map(halfBits);
  expect(bits).toEqual([0, 0x3c00, 0xc000, 0x3800, 0x7bff, 0x7c00, 1, 0x3555, 0x3bff]);
  expect(half(halfBits(0.1))).toBeCloseTo(0.1, 4);
});

test('the vocabulary of the 0.5B shape is as long as the published one, and its awkward tokens are known', () => {
  const vocabulary = loadVocabulary('qwen2');
  expect(vocabularySize(vocabulary)).toBe(151_936);
  const awkward = awkwardTokens(vocabulary);
  const tokens = vocabulary.get('tokenizer.ggml.tokens')?.value as string[];
  expect(awkward[tokens.indexOf('Ġhouse')]).toBe(false);
  expect(awkward[tokens.indexOf('<|im_end|>')]).toBe(true);
  expect(awkward[tokens.indexOf('æ')]).toBe(true); // the byte E6 alone: the beginning of a character
});

function decode(bytes: Buffer, type: 'f32' | 'f16' | 'q8_0' | 'q4_0'): number[] {
  const values: number[] = [];
  if (type === 'f32') for (let at = 0; at < bytes.length; at += 4) values.push(bytes.readFloatLE(at));
  if (type === 'f16') for (let at = 0; at < bytes.length; at += 2) values.push(half(bytes.readUInt16LE(at)));
  if (type === 'q8_0') {
    for (let at = 0; at < bytes.length; at += 34) {
      for (let i = 0; i < 32; i++) values.push(half(bytes.readUInt16LE(at)) * bytes.readInt8(at + 2 + i));
    }
  }
  if (type === 'q4_0') {
    for (let at = 0; at < bytes.length; at += 18) {
      for (let i = 0; i < 32; i++)
        values.push(half(bytes.readUInt16LE(at)) * (((bytes[at + 2 + (i % 16)]! >> (i < 16 ? 0 : 4)) & 15) - 8));
    }
  }
  return values;
}

function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const magnitude = exponent ? (1 + (bits & 0x3ff) / 1024) * 2 ** (exponent - 15) : (bits & 0x3ff) * 2 ** -24;
  return bits & 0x8000 ? -magnitude : magnitude;
}

function mean(values: number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}
