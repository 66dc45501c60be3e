/**
 * The models the bench generates. Speed depends on shape and type, never on the values of weights.
 *
 * @typedef {object} Shape
 * @property {'llama' | 'qwen2' | 'granite_swa' | 'mamba2' | 'granitehybrid'} architecture
 * @property {number} layers
 * @property {number} width
 * @property {number} heads
 * @property {number} kvHeads
 * @property {number} headDim 64 or more, or CUDA's flash attention can't take it
 * @property {number} feedForward
 * @property {number} context trained context length in tokens
 * @property {string} vocab which of llama.cpp's vocab files
 * @property {string} [template] of its chats; absent: ChatML
 * @property {number} [vocabTokens] only so many of its most frequent tokens: a small model must not be all vocabulary
 * @property {import('./gguf.mjs').TensorType} type of every matrix; norms and biases are f32
 * @property {boolean} tied the output layer is the token embedding
 * @property {number} [window] tokens that a layer with a sliding window looks back on
 * @property {State} [state] of the recurrent layers
 * @property {number} [fullEvery] the last of so many layers attends to all tokens; the others have a window or a state.
 *   Absent: they are all alike
 *
 * @typedef {object} State what a recurrent layer remembers of all tokens: `width * size` numbers
 * @property {number} width of what the layer works on inside; granitehybrid: twice the model's
 * @property {number} heads each forgets at its own speed
 * @property {number} size per channel; 128, or CUDA's scan can't take it
 * @property {number} kernel tokens that its convolution sees
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

/** Made in a blink, and a step takes less than a millisecond. @type {Shape} */
const tiny = {
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
};

/**
 * For tests that compare what is said. Floats: where halves round, what a sequence computes depends visibly on how many others
 * share the step.
 * @type {Shape}
 */
const exact = { ...tiny, layers: 4, feedForward: 128, vocabTokens: 512, type: 'f32' };
/** As Mistral's: what a conversation is divided by are special tokens, and a space comes with each text between them. */
const mistralTemplate =
  "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}" +
  "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}";
const phiTemplate =
  "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}";
const state = { width: 256, heads: 4, size: 128, kernel: 4 };
const attentionless = { heads: 0, kvHeads: 0, headDim: 0, feedForward: 0 };

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
  tiny,
  /** The other way in which vocabularies spell. */
  'tiny-sentencepiece': { ...tiny, vocab: 'llama-spm', vocabTokens: undefined, template: mistralTemplate, tied: true },
  /** llama.cpp knows by the name that white space behind its special tokens is dropped. */
  'tiny-phi-3': { ...tiny, vocab: 'phi-3', vocabTokens: undefined, template: phiTemplate, tied: true },
  /** The other ways in which models remember. */
  'tiny-window': { ...exact, architecture: 'granite_swa', window: 32, fullEvery: 2 },
  'tiny-recurrent': { ...exact, ...attentionless, architecture: 'mamba2', layers: 3, state },
  'tiny-hybrid': { ...exact, architecture: 'granitehybrid', state, fullEvery: 2 },
};
