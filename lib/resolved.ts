/** Options as the rest of the package sees them: checked, copied, complete. Made by `options.ts`. */
import type { ReplyOptions, SubmitOptions } from './native.js';
import type { KeyRing } from './stores/keyring.js';
import type { Durability, SessionStore } from './stores/store.js';
import type { Message, Sampling, Tool } from './types.js';

/** `LoadOptions`, checked, with every default in place. */
export interface ResolvedLoadOptions {
  gpuLayers: number | 'auto' | 'all';
  /** 0: chosen from the memory that is free. */
  contextTokens: number;
  maxResident: number;
  batchTokens: number;
  /** 0: the physical cores this process may use. */
  threads: number;
  unified: boolean;
  speculation: boolean;
  kvType: 'f16' | 'q8_0' | 'q4_0';
  /** A directory path or a store; absent: in memory. */
  store?: string | SessionStore;
  durability: Durability;
  /** The user's own object. */
  encryption?: KeyRing;
  ramBytes: number;
  /** Absent: the store's own. */
  diskBytes?: number;
  pageTokens: number;
  alwaysRestore: boolean;
  idleMs: number;
  maxQueued: number;
  onProgress?: (fraction: number) => void;
  signal?: AbortSignal;
}

/** What a session keeps beside its messages and metadata; part of its record. */
export interface SessionSettings {
  system?: string;
  /** As given: defaults are filled in per turn. */
  sampling: Sampling;
  /** Absent: until the context is full. */
  maxTokens?: number;
  stop: readonly string[];
  /** Absent: none. */
  tools?: readonly Tool[];
  /** Absent: 'auto'. */
  toolChoice?: 'auto' | 'required' | 'none';
  /** Absent: 'auto'. */
  reasoning?: 'auto' | 'off';
  /** Absent: it never expires. */
  ttlMs?: number;
  priority: number;
  pinned: boolean;
  overflow: 'error' | 'dropOldest';
}

/** `SessionOptions`, checked and copied. `settings.system` is not among the messages. */
export interface ResolvedSessionOptions {
  id: string;
  messages: Message[];
  metadata: Record<string, string>;
  settings: SessionSettings;
}

/** What a resumed session goes on with. */
export type ResumedSession = Pick<ResolvedSessionOptions, 'metadata' | 'settings'>;

/** Sampling as the engine takes it, every default in place. */
export type ResolvedSampling = Pick<
  SubmitOptions,
  | 'temperature'
  | 'topK'
  | 'topP'
  | 'minP'
  | 'repeatPenalty'
  | 'frequencyPenalty'
  | 'presencePenalty'
  | 'seed'
  | 'grammar'
> &
  Pick<SubmitOptions, 'biasTokens' | 'biasValues'>;

/** A turn's own options over its session's. */
export interface ResolvedTurnOptions {
  sampling: ResolvedSampling;
  /** Absent: until the context is full. */
  maxTokens?: number;
  stop: string[];
  reply: ReplyOptions;
  priority: number;
  ignoreEog: boolean;
  signal?: AbortSignal;
  timeoutMs?: number;
}
