import type { KeyRing } from './stores/keyring.js';
import type { Message, Reply, Tool } from './speech.js';
import type { Durability, SessionStore } from './stores/store.js';

export type * from './speech.js';

/** How a model is loaded. A wrong type is a `TypeError`, a wrong value a `RangeError`, an unknown name a `TypeError`. */
export interface LoadOptions {
  /**
   * Layers on the accelerator. 'auto' (default) and 'all': all of them. Without an accelerator, or in a build for the CPU, it
   * means nothing.
   */
  gpuLayers?: number | 'auto' | 'all';
  /** Cells of the KV pool that the resident sessions share, in tokens. Default: 'auto', what memory allows. */
  contextTokens?: number | 'auto';
  /** Sessions resident on the device at once, 1 to 256. Sessions beyond it are parked, not refused. Default: 32. */
  maxResident?: number;
  /** Largest number of tokens in one step, 1 to 65536. Default: 512. */
  batchTokens?: number;
  /**
   * Compute threads, 1 to 512, but no more than the processors this process may use: they spin while they wait for each other.
   * Default: the physical cores.
   */
  threads?: number;
  /** 'unified': all sessions share one pool of cells. 'streams': each has its own part. 'auto' (default): unified. */
  kvLayout?: 'auto' | 'unified' | 'streams';
  /** Number type of the KV cache: f16 (default), or half and a quarter of its size at some loss. */
  kvType?: 'f16' | 'q8_0' | 'q4_0';
  /**
   * 'auto' (default): where a reply repeats what its own session said before, the tokens that followed there are read ahead, and
   * one step brings several. They count only where the session's own sampler chooses the same, so replies are what they are
   * without. It is tried only where it pays: few sessions generate, it was right lately, and the model's KV can be taken back.
   * As with sessions that speak at the same time, a step of more tokens may round otherwise: where two tokens are as good as
   * each other within that rounding, the other one may be chosen. With 'off', a session alone repeats itself to the last bit.
   */
  speculation?: 'auto' | 'off';
  /** A directory path, or a store object (MemoryStore, DirectoryStore, RedisStore, your own). Default: in memory. */
  store?: string | SessionStore;
  /** When a turn counts as acknowledged: after fsync ('always', default), within a second, or with no promise. */
  durability?: Durability;
  /** Budgets of the KV tiers. */
  cache?: CacheOptions;
  /**
   * Encrypts what a store keeps: messages, tokens, settings, metadata and KV, with AES-256-GCM. In the clear stay ids, versions, expiries,
   * sizes, ids of keys, and which sessions begin alike; and the files that `export()` writes. Without a store there is nothing to encrypt.
   * Default: none. A session whose key is not here rejects with KEY_NOT_FOUND, one that was stored without encryption with
   * SNAPSHOT_CORRUPT; listings leave them out, and their KV is computed again. A session that an older key has encrypted is
   * encrypted with the current one by its next turn or `close()`.
   */
  encryption?: KeyRing;
  /** Turns that may wait, over all sessions, before send() rejects with QUEUE_FULL. Default: 1024. */
  maxQueued?: number;
  /** Called on the way with 0 to 1. What it throws is ignored. */
  onProgress?: (fraction: number) => void;
  /** Aborting ends the load: it rejects with an `AbortError` and frees everything. */
  signal?: AbortSignal;
}

/** Budgets of the KV tiers. */
export interface CacheOptions {
  /** Bytes of RAM for KV that is not on the device; 0: none. Default: 1 GiB. */
  ramBytes?: number;
  /** Bytes for the KV pages of a store that was given as a path; 0: none. Default: 16 GiB. */
  diskBytes?: number;
  /**
   * Tokens in a page, 16 to 65536. Default: 256. Sessions share what they have in common in whole pages, and a turn writes the
   * page anew that it ends in. Pages of another size are of no use.
   */
  pageTokens?: number;
  /**
   * KV that has left the device: 'auto' (default) brings it back when that is faster than computing it again, by what both took
   * lately; 'always' brings it back.
   */
  restore?: 'auto' | 'always';
  /**
   * Milliseconds after which an idle session leaves the device by itself, up to 2147483647; 0: at once. Default: 60000. It
   * leaves earlier when others need its place.
   */
  idleMs?: number;
}

/** What a session is created with. */
export interface SessionOptions {
  /** Yours, or a fresh unguessable one. Any string of 1 to 256 characters: it never reaches a file name as it is. */
  id?: string;
  /** The system message. Not together with `messages` that begin with one. */
  system?: string;
  /** The conversation so far. Default: empty. */
  messages?: Message[];
  /** Default for every turn; a turn's own replace it name by name. */
  sampling?: Sampling;
  /** Most tokens of a reply. Default: until the context is full. */
  maxTokens?: number;
  /** Texts that end a reply (they are not part of it), at most 256 of 1 to 4096 characters. Default: none. */
  stop?: string[];
  /**
   * Functions that the model may call, for `send()`, at most 1024. What it calls is `Reply.toolCalls`; answer each with a message
   * of the role 'tool'. Their parameters are trusted as `grammar` is. NOT_SUPPORTED if the model's chat template knows no tools.
   * Default: none.
   */
  tools?: readonly Tool[];
  /** 'auto' (default): the model decides. 'required': it calls at least one. 'none': it calls none, though it knows them. */
  toolChoice?: 'auto' | 'required' | 'none';
  /**
   * 'auto' (default): a model that thinks before it speaks does, in pieces of the kind 'reasoning'. 'off': it is told not to, if
   * its template can.
   */
  reasoning?: 'auto' | 'off';
  /**
   * Idle life in milliseconds, up to 100 years; the session expires after it. It begins anew when a turn ends, whatever that came
   * to. Default: none, it never does.
   */
  ttlMs?: number;
  /** Of those who must make room on the device it is among the last; after `cache.idleMs` it leaves too. Default: false. */
  pinned?: boolean;
  /** Yours; kept with the session. */
  metadata?: Record<string, string>;
  /**
   * -1000 to 1000, default 0. Higher goes first; waiting raises it by 1 every 5 s, so nobody starves. When idle sessions must
   * leave the device, lower ones go first.
   */
  priority?: number;
  /**
   * When the conversation outgrows the context: 'error' (default): CONTEXT_FULL. 'dropOldest': the oldest turns leave it until
   * it fills three quarters of the context, and `Reply.dropped` tells which. System messages stay.
   */
  overflow?: 'error' | 'dropOldest';
}

/** What a stored session goes on with: everything but its id and messages may be replaced. Stored with its next turn. */
export interface ResumeOptions extends Partial<SessionOptions> {
  /** Although another process has it open: that one's session ends with SESSION_CONFLICT when it writes. Default: false. */
  takeOver?: boolean;
}

/** What a turn may set for itself; what it leaves out is the session's. */
export interface TurnOptions {
  sampling?: Sampling;
  /** Most tokens of the reply. Default: the session's. */
  maxTokens?: number;
  /** Replaces the session's list. */
  stop?: string[];
  /** Replaces the session's list. Prompts begin with it: with other tools all is computed anew. */
  tools?: readonly Tool[];
  /** Default: the session's. */
  toolChoice?: 'auto' | 'required' | 'none';
  /** Default: the session's. */
  reasoning?: 'auto' | 'off';
  /** -1000 to 1000. Default: the session's. */
  priority?: number;
  /** Keep generating past end-of-generation tokens, as long as a grammar has anything else; for benchmarks. Default: false. */
  ignoreEog?: boolean;
  /** Aborting rejects the turn with AbortError (its `partial` holds the text so far). */
  signal?: AbortSignal;
  /** From send() on, waiting included; the turn rejects with TIMEOUT after it. 1 to 2147483647. Default: none. */
  timeoutMs?: number;
}

/** How the next token is chosen. */
export interface Sampling {
  /** 0 to 100; 0 always takes the likeliest. Default: 0.8. */
  temperature?: number;
  /** Only the k likeliest; 0: all. Default: 40. */
  topK?: number;
  /** Only the likeliest that together reach this probability, 0 to 1; 1: all. Default: 0.95. */
  topP?: number;
  /** Only those at least this likely relative to the likeliest, 0 to 1; 0: all. Default: 0.05. */
  minP?: number;
  /** Divides the logits of the last 64 tokens, 0.01 to 100; 1: off. Default: 1. */
  repeatPenalty?: number;
  /** Subtracted per occurrence in the last 64 tokens, -100 to 100. Default: 0. */
  frequencyPenalty?: number;
  /** Subtracted once for what occurs in the last 64 tokens, -100 to 100. Default: 0. */
  presencePenalty?: number;
  /**
   * 32 bits, 0 to 4294967295: the same one chooses the same tokens from the same logits. With f16 weights and on arm64 those
   * differ a little with what else is in the step. Default: another one each turn.
   */
  seed?: number;
  /**
   * GBNF that all of the reply must follow, reasoning included: it is text then. At most 256 KiB; '' for none, nor the session's
   * schema. Only from who you trust: llama.cpp takes exponential time for grammars that are ambiguous on purpose, and every
   * session waits. Default: none.
   */
  grammar?: string;
  /**
   * JSON schema that the reply's text must follow, which is then JSON; a model may think before. The keywords are those that
   * llama.cpp makes a grammar of, others are ignored; an object may have 512 properties. Trusted as `grammar` is, and not together
   * with that, nor with `tools` unless `toolChoice` is 'none'. Default: none.
   */
  jsonSchema?: object;
  /** Added to the logits of token ids, -1000000 to 1000000 each; -100 bans in practice. Default: none. */
  logitBias?: Record<number, number>;
}

/** Which sessions to list. */
export interface SessionFilter {
  /** Ids that begin with it. */
  prefix?: string;
  /** Sessions of this state only: idle, queued, running or closed (stored, not open in this process). */
  state?: string;
  /** Most sessions to list. Default: all. */
  limit?: number;
  /** The last id of the page before. */
  cursor?: string;
}

/** One session, as a listing shows it. */
export interface SessionInfo {
  id: string;
  createdAt: Date;
  modifiedAt: Date;
  expiresAt?: Date;
  /** The beginning of its first user message. */
  summary: string;
  /** How many. */
  messages: number;
  /** How many. */
  tokens: number;
  /** device, ram, store or none. */
  residency: string;
  metadata: Record<string, string>;
}

/** What `session.on()` tells. A listener that throws, or rejects, does not disturb the session. */
export interface SessionEvents {
  state: { from: string; to: string };
  turn: Reply;
  parked: { tier: string };
  /**
   * It expires soon (a tenth of `ttlMs` before, a minute at most) unless it speaks. Looked for once a second: a `ttlMs` below some
   * ten seconds may pass without it.
   */
  expiring: { expiresAt: Date };
  /** Its time was over: it has been deleted. */
  expired: object;
  /** A turn failed, and rejects with the same error; or the session could not be deleted when its time was over. */
  error: Error;
}

/** What is loaded. */
export interface ModelInfo {
  path: string;
  description: string;
  architecture: string;
  /** How many. */
  parameters: number;
  /** Of the weights. */
  sizeBytes: number;
  /** Tokens. */
  trainedContext: number;
  /** Tokens. */
  vocabularySize: number;
  /** Equal for equal weights and metadata (the vocabulary, the chat template …), wherever the file lies. */
  fingerprint: string;
  /** Names of the devices that compute it. */
  devices: string[];
}

/** Counters since load, all numbers; the names are documented and become the Prometheus names. */
export type ModelStats = Record<string, number>;
