/** What llama.cpp's src/models/ expect of each architecture: metadata, and the names and shapes of tensors. */

/** @typedef {import('./shapes.mjs').Shape} Shape */
/** @typedef {import('./gguf.mjs').TensorShape} TensorShape */
/** @typedef {import('./gguf.mjs').Value} Value */

/**
 * @param {Shape} shape
 * @param {number} tokens of the vocabulary
 * @returns {TensorShape[]}
 */
export function tensorsOf(shape, tokens) {
  const { layers, width, feedForward, tied } = shape;
  const { matrix, vector } = makers(shape);

  /** @param {number} i */
  const layer = (i) => {
    const block = `blk.${i}`;
    return [
      vector(`${block}.attn_norm.weight`, width, 1),
      ...(shape.state && !isFull(shape, i) ? recurrence(shape, shape.state, block) : attention(shape, block)),
      ...(feedForward
        ? [
            vector(`${block}.ffn_norm.weight`, width, 1),
            matrix(`${block}.ffn_gate`, width, feedForward),
            matrix(`${block}.ffn_up`, width, feedForward),
            matrix(`${block}.ffn_down`, feedForward, width),
          ]
        : []),
    ];
  };
  return [
    matrix('token_embd', width, tokens),
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    vector('output_norm.weight', width, 1),
    ...(tied ? [] : [matrix('output', width, tokens)]),
  ];
}

/**
 * @param {Shape} shape
 * @param {string} block
 * @returns {TensorShape[]}
 */
function attention(shape, block) {
  const { architecture, width, heads, kvHeads, headDim } = shape;
  const { matrix, vector } = makers(shape);
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  return [
    matrix(`${block}.attn_q`, width, queries),
    matrix(`${block}.attn_k`, width, keys),
    matrix(`${block}.attn_v`, width, keys),
    ...(architecture === 'qwen2'
      ? [
          vector(`${block}.attn_q.bias`, queries, 0),
          vector(`${block}.attn_k.bias`, keys, 0),
          vector(`${block}.attn_v.bias`, keys, 0),
        ]
      : []),
    ...(architecture === 'granite_swa' ? [vector(`${block}.attn_sinks.weight`, heads, 0)] : []),
    matrix(`${block}.attn_output`, queries, width),
  ];
}

/**
 * Mamba 2. Its numbers are such that the state decides what a layer says, and that a head forgets half of it within some
 * tokens, or some hundreds: what a test compares has to depend on all that was said.
 * @param {Shape} shape
 * @param {import('./shapes.mjs').State} state
 * @param {string} block
 * @returns {TensorShape[]}
 */
function recurrence(shape, { width, heads, size, kernel }, block) {
  const { matrix, vector } = makers(shape);
  const convolved = width + 2 * size;
  const forgetting = Array.from({ length: heads }, (_, head) => -(4 ** -head));
  return [
    matrix(`${block}.ssm_in`, shape.width, width + convolved + heads),
    { name: `${block}.ssm_conv1d.weight`, type: 'f32', shape: [kernel, convolved] },
    vector(`${block}.ssm_conv1d.bias`, convolved, 0),
    vector(`${block}.ssm_dt.bias`, heads, -3),
    { name: `${block}.ssm_a`, type: 'f32', shape: [1, heads], fill: forgetting },
    { name: `${block}.ssm_d`, type: 'f32', shape: [1, heads], fill: 0 }, // nothing goes past the state
    { name: `${block}.ssm_norm.weight`, type: 'f32', shape: [width, 1], fill: 1 },
    matrix(`${block}.ssm_out`, width, shape.width),
  ];
}

/**
 * @param {Shape} shape
 * @param {number} tokens of the vocabulary
 * @returns {Map<string, Value>}
 */
export function metadataOf(shape, tokens) {
  const { architecture, layers, heads, headDim, window, state } = shape;
  const full = Array.from({ length: layers }, (_, i) => isFull(shape, i));
  /** @type {(value: number) => Value} */
  const u32 = (value) => ({ type: 'u32', value });
  /** @type {(value: number) => Value} */
  const f32 = (value) => ({ type: 'f32', value });
  /** @type {Record<string, Value>} */
  const ofArchitecture = {
    block_count: u32(layers),
    context_length: u32(shape.context),
    embedding_length: u32(shape.width),
    feed_forward_length: u32(shape.feedForward),
    vocab_size: u32(tokens),
    'attention.layer_norm_rms_epsilon': f32(1e-6),
    'attention.head_count': u32(heads),
    // Where layers differ, 0 is how llama.cpp tells the recurrent ones.
    'attention.head_count_kv': state
      ? { type: 'array', of: 'u32', value: full.map((isFull) => (isFull ? shape.kvHeads : 0)) }
      : u32(shape.kvHeads),
    ...(heads && {
      'attention.key_length': u32(headDim),
      'attention.value_length': u32(headDim),
      'rope.dimension_count': u32(headDim),
      'rope.freq_base': f32(1e6),
    }),
    ...(window && {
      'attention.sliding_window': u32(window),
      'attention.sliding_window_pattern': { type: 'array', of: 'bool', value: full.map((isFull) => !isFull) },
      logit_scale: f32(1),
    }),
    ...(state && {
      'ssm.conv_kernel': u32(state.kernel),
      'ssm.inner_size': u32(state.width),
      'ssm.state_size': u32(state.size),
      'ssm.time_step_rank': u32(state.heads),
      'ssm.group_count': u32(1),
    }),
  };
  return new Map([
    ['general.architecture', { type: 'string', value: architecture }],
    ['general.file_type', u32({ f32: 0, f16: 1, q4_0: 2, q8_0: 7 }[shape.type])],
    ['general.quantization_version', u32(2)],
    ...Object.entries(ofArchitecture).map(([key, value]) => /** @type {const} */ ([`${architecture}.${key}`, value])),
  ]);
}

/**
 * Whether a layer attends to all tokens; the others have a window or a state.
 * @param {Shape} shape
 * @param {number} layer
 */
const isFull = ({ state, fullEvery }, layer) => (fullEvery ? (layer + 1) % fullEvery === 0 : !state);

/** @param {Shape} shape */
function makers({ type }) {
  return {
    /** @type {(name: string, ...shape: number[]) => TensorShape} */
    matrix: (name, ...shape) => ({ name: `${name}.weight`, type, shape }),
    /** @type {(name: string, length: number, fill: number) => TensorShape} */
    vector: (name, length, fill) => ({ name, type: 'f32', shape: [length], fill }),
  };
}
