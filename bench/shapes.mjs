/**
 * The models the bench generates. Speed depends on shape and type, never on the values of weights.
 *
 * @typedef {object} Shape
 * @property {'llama' | 'qwen2'} architecture
 * @property {number} layers
 * @property {number} width
 * @property {number} heads
 * @property {number} kvHeads
 * @property {number} headDim 64 or more, or CUDA's flash attention can't take it
 * @property {number} feedForward
 * @property {number} context trained context length in tokens
 * @property {string} vocab which of llama.cpp's vocab files
 * @property {number} [vocabTokens] only so many of its most frequent tokens: a small model must not be all vocabulary
 * @property {import('./gguf.mjs').TensorType} type of every matrix; norms and biases are f32
 * @property {boolean} tied the output layer is the token embedding
 */

/** Qwen2.5-0.5B: the published shape that peers are measured with. 12,288 bytes of f16 KV per token. @type {Shape} */
const halfBillion = {
  architecture: 'qwen2',
  layers: 24,
  width: 896,
  heads: 14,
  kvHeads: 2,
  headDim: 64,
  feedForward: 4864,
  context: 32768,
  vocab: 'qwen2',
  type: 'q4_0',
  tied: true,
};

/** @type {Record<string, Shape>} */
export const SHAPES = {
  '0.5b': halfBillion,
  /** A file of 500 MB, for what depends on bytes: loading. */
  '500mb': { ...halfBillion, type: 'q8_0' },
  /** 16 million parameters: a step is so short that what shows is the engine around it. */
  '15m': {
    architecture: 'llama',
    layers: 8,
    width: 384,
    heads: 6,
    kvHeads: 2,
    headDim: 64,
    feedForward: 1024,
    context: 32768,
    vocab: 'gpt-2',
    vocabTokens: 8192,
    type: 'q4_0',
    tied: true,
  },
  tiny: {
    architecture: 'llama',
    layers: 2,
    width: 128,
    heads: 2,
    kvHeads: 1,
    headDim: 64,
    feedForward: 256,
    context: 32768,
    vocab: 'gpt-2',
    vocabTokens: 1024,
    type: 'f16',
    tied: false,
  },
};
