/** What is said: messages, the tools that they may call, and what a turn comes to. Part of `types.ts`. */

/** A function that the model may call, in the shape of OpenAI's chat API. */
export interface Tool {
  type: 'function';
  function: {
    /** 1 to 64 letters, digits, `_`, `-` or `.`. */
    name: string;
    description?: string;
    /** JSON schema of its arguments, which is an object. Default: it takes none. */
    parameters?: object;
    /** Of OpenAI's API; here calls always follow the schema, where the model's template allows it. */
    strict?: boolean | null;
  };
}

/** A function that the model calls, in the shape of OpenAI's chat API; messages carry it as `tool_calls`. */
export interface ToolCall {
  /** The model's, or made up here. The answer names it as its `tool_call_id`. */
  id: string;
  type: 'function';
  function: {
    name: string;
    /** JSON. llama.cpp makes the model follow the schema once it has begun a call; templates without a mark for that can't. */
    arguments: string;
  };
}

/**
 * One message of a conversation. Of other names the model's chat template sees `name`, `tool_call_id` and `reasoning_content`,
 * which are strings, and `tool_calls`, an array of `{ type: 'function', function: { name, arguments }, id }` where `id` may be
 * absent; null is absent too. The rest is kept with the conversation and must be JSON.
 * Unpaired surrogates in a text become U+FFFD: UTF-8, which models read, can't say them.
 */
export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  /** True on a reply that was cancelled or failed half-way. */
  interrupted?: boolean;
  [extra: string]: unknown;
}

/**
 * Decoded text of one or more tokens: whole characters, never half of one. What calls a tool is no text: its tokens come in a last
 * piece that may be empty.
 */
export interface Piece {
  text: string;
  /** Ids of the tokens it spells, and of marks before it; a turn's are all of `usage.generatedTokens` but a stop string's. */
  tokens: readonly number[];
  /** 'reasoning': what a model thinks before it speaks. The conversation keeps it as the message's `reasoning_content`. */
  kind: 'text' | 'reasoning';
}

/** What a turn came to. */
export interface Reply {
  /** Without reasoning, and without the calls of tools. */
  text: string;
  /** What the model thought before; empty if it does not. */
  reasoning: string;
  /**
   * Functions that the model wants called: their answers are what to send next. Empty unless the model ended the reply itself,
   * as what is half said is no call.
   */
  toolCalls: readonly ToolCall[];
  /** 'stop': by the model or its grammar. 'length': maxTokens. 'stopSequence': one of `stop`. 'cancelled': cancel() or `break`. */
  finishReason: 'stop' | 'length' | 'stopSequence' | 'cancelled';
  usage: Usage;
  timings: Timings;
  /** Messages that left the conversation to make room for this turn, oldest first; empty unless `overflow` is 'dropOldest'. */
  dropped: readonly Message[];
}

/** Tokens of a turn. */
export interface Usage {
  promptTokens: number;
  /** Those of the prompt that the KV cache held already. */
  cachedTokens: number;
  generatedTokens: number;
  /** Tokens that were guessed ahead (`speculation`); 0 where that did not seem to pay. */
  draftedTokens: number;
  /** Those of them that were right: each saved a step. */
  acceptedTokens: number;
}

/** Milliseconds of a turn, by phase. */
export interface Timings {
  /** From send() until the session had a sequence. */
  queueMs: number;
  /** Spent on bringing KV back. */
  restoreMs: number;
  prefillMs: number;
  /** From send() to the first token. */
  firstTokenMs: number;
  /** From the first token to the last. */
  generateMs: number;
  /** Generated tokens per second of generateMs. */
  tokensPerSecond: number;
}
