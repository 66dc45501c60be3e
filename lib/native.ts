/**
 * The contract of the addon: types only. `binding.ts` loads it, `native/binding/` implements it.
 * Everything here is called on the JavaScript thread; what returns a promise works on another one.
 * Failures are plain `Error`s that carry an `ErrorCode` in `code`; `errors.ts` turns them into `LlamaError`s.
 */
export interface Addon {
  /** Of the package that it was compiled for. */
  readonly version: string;
  /**
   * Loads the backends, those of the given modules too, once per process, on a pool thread.
   * @returns for each module why it is not used; empty: it is
   */
  loadBackends(modules: string[]): Promise<string[]>;
  /** Loads the backends if need be. */
  system(): Promise<SystemInfo>;
  readonly Engine: new (onStep: StepListener, onProgress: (fraction: number) => void) => NativeEngine;
  readonly Index: new () => NativeIndex;
  /**
   * Reads and checks the header of a model file on a pool thread, and of all its parts, when it is the first of a split model.
   * Rejects with MODEL_NOT_FOUND or MODEL_INVALID.
   */
  inspectModel(path: string): Promise<ModelPart[]>;
  /** Ends the engines of this environment and waits for their threads. For the process's 'exit' event, and nothing else. */
  endEngines(): void;
}

/**
 * The index of a directory: values by key, in order, shared with other threads and processes. A key is a string with a character
 * for each byte. Failures carry the name of an errno, or of one of SQLite's codes, in `code`.
 */
export interface NativeIndex {
  /** Makes it where there is none. Once, and before everything else. @param process this one's name, which no other one has */
  open(path: string, process: string): Promise<void>;
  /** What is read from here to `endReading()` is of one moment. */
  beginReading(): void;
  endReading(): void;
  get(key: string): Buffer | undefined;
  range(from: string, below: string, limit: number): [string, Buffer][];
  /**
   * @param expected the value that the key must still have; null: none
   * @param changes key, value, key, value …; null: it is removed
   * @returns whether the changes were made, all of them; they are on the disk then
   */
  commit(key: string, expected: Uint8Array | null, changes: (string | Uint8Array | null)[]): Promise<boolean>;
  /** After what is being written. The last call. */
  close(): Promise<void>;
}

/** What this process computes with. */
export interface SystemInfo {
  llamaVersion: string;
  ggmlVersion: string;
  /** Of llama.cpp, eight digits of its hash. */
  tree: string;
  backends: BackendInfo[];
}

export interface BackendInfo {
  /** 'CPU', 'CUDA' … */
  name: string;
  /** The module that it was loaded from; the addon, when it is part of that. */
  file: string;
  /** What the code was compiled for: 'AVX2' → '1' … */
  features: Record<string, string>;
  devices: DeviceInfo[];
}

export interface DeviceInfo {
  name: string;
  description: string;
  kind: 'cpu' | 'gpu' | 'integrated' | 'accelerator';
  freeBytes: number;
  totalBytes: number;
}

/** Where the bytes of a model file lie, or of one of its parts; what its fingerprint is computed from. */
export interface ModelPart {
  path: string;
  /** Bytes before the tensor data: metadata and tensor descriptions. */
  headerBytes: number;
  fileBytes: number;
  /** [offset, length] of each tensor in the file, flattened. */
  tensors: Float64Array;
}

export interface EngineOptions {
  path: string;
  /** Layers on the accelerator; negative: all. */
  gpuLayers: number;
  /** Cells of the KV pool; 0: chosen from the memory that is free. */
  contextTokens: number;
  sequences: number;
  batchTokens: number;
  threads: number;
  unified: boolean;
  /** Tokens are guessed ahead where a reply repeats what was said. */
  speculation: boolean;
  kvType: 'f16' | 'q8_0' | 'q4_0';
  /** Bytes of the machine's memory that this process may have. */
  memory: number;
}

/** What a loaded engine is; numbers are counts unless named otherwise. */
export interface EngineInfo {
  description: string;
  architecture: string;
  parameters: number;
  sizeBytes: number;
  trainedContext: number;
  vocabularySize: number;
  devices: string[];
  /** Cells of the pool. */
  contextTokens: number;
  /** Most tokens one session may have. */
  sessionTokens: number;
  sequences: number;
  batchTokens: number;
  unified: boolean;
  kvBytesPerToken: number;
  /** Everything beside the model file that decides what a KV blob means: build, KV types, layout. */
  kvFormat: string;
  /** False for memory kinds whose blobs can't be checked (recurrent, hybrid …): their KV is never taken from outside. */
  portableKv: boolean;
  /** Whether KV can be taken and put back in ranges of tokens; else only whole sequences can. */
  pages: boolean;
}

/**
 * One call per step for all sessions together (R10).
 * @param text of all pieces, each of whole characters, one after the other
 * @param numbers how many pieces there are; of each its request, 1 for reasoning or 0 for text, the length of its text, how many
 * tokens it has, and these.
 * Valid during the call: the next one is written into the same memory
 * @param ends the requests that ended in this step, after their last piece
 * @param cellsWanted above 0: a step lacked so many KV cells; an idle sequence should be parked
 */
export type StepListener = (text: string, numbers: Int32Array, ends: RequestEnd[], cellsWanted: number) => void;

export interface RequestEnd {
  request: number;
  reason: 'stop' | 'length' | 'stopSequence' | 'cancelled' | 'error';
  /** Set when the reason is 'error'. */
  error?: Error & { code: string };
  /** Tokens of the prompt, and how many of them were in the KV cache already. */
  promptTokens: number;
  cachedTokens: number;
  generatedTokens: number;
  /** Tokens that the sequence's KV holds now: always a prefix of prompt + generated tokens. */
  kvTokens: number;
  /** Milliseconds from submit to the first step, spent in prefill, and from the first token to the last. */
  waitMs: number;
  prefillMs: number;
  firstTokenMs: number;
  generateMs: number;
  /** Tokens that were guessed ahead, and those of them that were right. */
  draftedTokens: number;
  acceptedTokens: number;
  /** Of all its pieces together. */
  text: string;
  reasoning: string;
  tokens: Int32Array;
  toolCalls: NativeToolCall[];
}

/** What a turn asks of its reply. */
export interface ReplyOptions {
  /** A JSON array in the shape of OpenAI's chat API; empty: none. */
  tools: string;
  toolChoice: 'auto' | 'required' | 'none';
  /** False: templates that can be asked to are asked not to let the model think. */
  reasoning: boolean;
  /** That the text must follow; empty: none. */
  jsonSchema: string;
}

declare const format: unique symbol;
/** How to read what answers a prompt, and what it must look like: the addon's, without properties. */
export interface ReplyFormat {
  readonly [format]: true;
}

export interface Prompt {
  tokens: Int32Array;
  /** Undefined: there is nothing but text in the reply. */
  format: ReplyFormat | undefined;
}

export interface NativeToolCall {
  /** Empty where the model's format has none. */
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
}

export interface SubmitOptions {
  /** Yours; unique among the requests that run. */
  request: number;
  sequence: number;
  /** The whole prompt; the engine finds out itself what of it the sequence's KV already holds. */
  tokens: Int32Array;
  /** That the prompt came with. A grammar of its own counts, not `grammar`. */
  format: ReplyFormat | undefined;
  maxTokens: number;
  stop: string[];
  ignoreEog: boolean;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repeatPenalty: number;
  frequencyPenalty: number;
  presencePenalty: number;
  /** 32 bits. */
  seed: number;
  grammar: string;
  /** Token ids and their biases, in the same order. */
  biasTokens: Int32Array;
  biasValues: Float64Array;
}

export interface NativeEngine {
  /** Loads the model and starts the engine thread. Once. */
  open(options: EngineOptions): Promise<EngineInfo>;
  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array;
  /** `special`: control tokens are written out instead of left out. */
  detokenize(tokens: Int32Array, special: boolean): string;
  /**
   * Renders the conversation with the model's template and tokenises it, on a pool thread. Where the rendered text goes on
   * from what `known` spells, only the rest is tokenised, so that what was generated keeps its tokens (and its KV). Rejects
   * with TEMPLATE_INVALID, with NOT_SUPPORTED for tools that the template knows nothing of, and with GRAMMAR_INVALID for schemas.
   */
  prepareChat(messagesJson: string, known: Int32Array, reply: ReplyOptions): Promise<Prompt>;
  /** A text that goes on without a template. Rejects with GRAMMAR_INVALID. @param jsonSchema empty: none */
  prepareText(text: string, jsonSchema: string): Promise<Prompt>;
  /** Throws GRAMMAR_INVALID at once; everything later comes as an end. */
  submit(options: SubmitOptions): void;
  /** Honoured within one step. Unknown ids are ignored: the request may just have ended. */
  cancel(request: number): void;
  /**
   * Gives an idle sequence the longest beginning of `tokens` that is on the device already: what it holds itself, or, where
   * another sequence holds more, that one's cells, shared and not copied. What it held beyond is dropped.
   * @returns how many of the tokens it holds now
   */
  adoptPrefix(sequence: number, tokens: Int32Array): Promise<number>;
  /**
   * The KV of the positions from `from` to before `to`, copied out in the breaks between steps; the sequence keeps it. It may
   * be busy. Without `pages` only all of an idle one.
   */
  exportKv(sequence: number, from: number, to: number): Promise<Uint8Array>;
  /**
   * Puts KV behind the first `from` tokens that an idle sequence holds; what it held beyond is dropped. Without `pages` `from`
   * must be 0. Cells that another sequence holds of the same tokens are shared instead of written. False: refused (no room, or
   * not what it claims to be), and the sequence holds `from` tokens, or none without `pages`. `bytes` must not change until
   * the promise settles.
   * @param tokens of these positions
   * @param trusted bytes that never left this process
   */
  importKv(sequence: number, from: number, tokens: Int32Array, bytes: Uint8Array, trusted: boolean): Promise<boolean>;
  clearSequence(sequence: number): Promise<void>;
  /** Counters since open. */
  stats(): Record<string, number>;
  /** Ends the step in flight, rejects what is left, joins the thread, frees the model. Idempotent. */
  close(): Promise<void>;
}
