import { Emitter } from './emitter.js';
import type { LlamaError } from './errors.js';
import { toJson } from './json.js';
import { resolveResumeOptions, type ResolvedSessionOptions, type SessionSettings } from './options.js';
import { systemMessages } from './overflow.js';
import type { SessionRecord } from './record.js';
import { SessionKv } from './residency.js';
import { isToken, NO_TOKENS } from './tokens.js';
import type { Message, ResumeOptions, SessionEvents } from './types.js';

/** A turn in the making. */
export interface Stoppable {
  stop(why: Error | 'cancelled'): void;
}

/** What a finished turn adds. */
export interface TurnOutcome {
  /** What was said and answered; empty for completions and for turns that came to nothing. */
  messages: readonly Message[];
  /** All tokens of prompt and reply. */
  tokens: Int32Array;
  /** How many of them have KV now. */
  kvTokens: number;
  /** How many of the oldest messages had to go for it, not counting the system's. */
  dropped: number;
}

/**
 * A session's truth and its place in this process; `Session` is the handle that users hold. Changed by one operation at a
 * time: the queue lets only one of a session's through.
 */
export class Conversation {
  readonly id: string;
  settings: SessionSettings;
  metadata: Readonly<Record<string, string>>;
  readonly messages: Message[];
  readonly createdAt: number;
  readonly events: Emitter<SessionEvents> = new Emitter();
  readonly kv: SessionKv = new SessionKv();
  modifiedAt: number;
  /** Prompt and reply of the last turn, as tokens. */
  tokens: Int32Array = NO_TOKENS;
  /** Of its record in the store; 0: not there yet. */
  version = 0;
  /** A record on its way to the store, or whose write failed. */
  doubtful: Uint8Array | undefined;
  /** How many of `tokens` had KV when the last turn ended. */
  kvTokens = 0;
  /** The expiry that its listeners were told of. */
  warnedOf: number | undefined;
  /** Its time is over, and its deletion waits or runs. */
  expiring = false;
  /** Something has changed since the record was written. */
  dirty = true;
  /** Turns that wait or run, in order. */
  readonly generations: Set<Stoppable> = new Set();
  running = false;
  closed = false;
  /** Set by closing; settles when nothing of it runs any more. */
  closing: Promise<void> | undefined;
  /** About to be deleted: nothing of it is to be written any more. */
  deleted = false;
  /** Another process has written the session since it was read here: nothing of it can be written any more. */
  conflict: LlamaError | undefined;
  /** Told to who can close it. */
  onOvertaken: () => void = () => undefined;

  constructor(options: ResolvedSessionOptions, createdAt: number = Date.now()) {
    this.id = options.id;
    this.settings = options.settings;
    this.metadata = options.metadata;
    this.messages = options.messages;
    this.createdAt = createdAt;
    this.modifiedAt = createdAt;
    this.kv.rank = rank(options.settings);
  }

  /** The conversation that a record keeps. Tokens of another model mean nothing to this one, nor do those that none has. */
  static fromRecord(record: SessionRecord, fingerprint: string, vocabularySize: number): Conversation {
    const { id, settings, metadata } = record;
    const conversation = new Conversation(
      { id, settings, metadata: { ...metadata }, messages: [...record.messages] },
      record.createdAt,
    );
    conversation.modifiedAt = record.modifiedAt;
    if (record.fingerprint === fingerprint && record.tokens.every((token) => isToken(token, vocabularySize))) {
      conversation.tokens = record.tokens;
      conversation.kvTokens = record.kvTokens;
    }
    conversation.dirty = false;
    return conversation;
  }

  /** A new one that has said the first so many messages, which are these tokens. */
  forked(id: string, messages: number, tokens: Int32Array): Conversation {
    const fork = new Conversation({
      id,
      settings: structuredClone(this.settings),
      metadata: { ...this.metadata },
      messages: structuredClone(this.messages.slice(0, messages)),
    });
    fork.tokens = tokens;
    fork.kvTokens = Math.min(this.kvTokens, tokens.length);
    return fork;
  }

  /** Goes back to its first so many messages, which are these tokens. */
  rewind(messages: number, tokens: Int32Array): void {
    this.messages.length = messages;
    this.tokens = tokens;
    this.kvTokens = Math.min(this.kvTokens, tokens.length);
    this.modifiedAt = Date.now();
    this.dirty = true;
  }

  toRecord(fingerprint: string): SessionRecord {
    const { id, createdAt, modifiedAt, messages, metadata, settings, tokens, kvTokens } = this;
    return {
      id,
      createdAt,
      modifiedAt,
      messages,
      metadata,
      settings,
      fingerprint,
      tokens,
      kvTokens,
    };
  }

  /** What the store may have KV of. */
  get usableTokens(): Int32Array {
    return this.tokens.subarray(0, this.kvTokens);
  }

  get state(): 'idle' | 'queued' | 'running' | 'closed' {
    if (this.closed) return 'closed';
    if (this.running) return 'running';
    return this.generations.size > 0 ? 'queued' : 'idle';
  }

  /** Milliseconds since 1970; undefined: it never does. */
  get expiresAt(): number | undefined {
    return this.settings.ttlMs === undefined ? undefined : this.modifiedAt + this.settings.ttlMs;
  }

  /** @throws TypeError, RangeError for wrong options */
  reconfigure(options: ResumeOptions | undefined): void {
    if (options === undefined) return;
    const { metadata, settings } = resolveResumeOptions(this, options);
    this.metadata = metadata;
    this.settings = settings;
    this.kv.rank = rank(settings);
    this.dirty = true;
  }

  /** Makes a change and tells when it changed the state. */
  change(change: () => void): void {
    const from = this.state;
    change();
    if (this.state !== from) this.events.emit('state', { from, to: this.state });
  }

  /** The other's word counts: this one ends, so that resuming gives what the store has. */
  overtaken(conflict: LlamaError): void {
    this.conflict = conflict;
    this.onOvertaken();
  }

  /**
   * What the template renders, as JSON: the system messages, those from `first` to before `end`, and `added`.
   * @param first default: all @param end default: all
   */
  promptJson(added: readonly Message[], first: number = 0, end: number = Infinity): string {
    const { system } = this.settings;
    const opening = systemMessages(this.messages);
    const all = [
      ...(system === undefined ? [] : [{ role: 'system', content: system }]),
      ...this.messages.slice(0, Math.min(opening, end)),
      ...this.messages.slice(Math.max(opening, first), end),
      ...added,
    ];
    return toJson(all.map(forTemplate));
  }

  add(outcome: TurnOutcome): void {
    this.messages.splice(systemMessages(this.messages), outcome.dropped);
    this.messages.push(...outcome.messages);
    this.tokens = outcome.tokens;
    this.kvTokens = outcome.kvTokens;
    this.modifiedAt = Date.now();
    this.dirty = true;
  }

  /**
   * A turn has ended, whatever it came to: if it has a time to live, that begins anew.
   * @param written the store knows, or will; else it is told with the next write, or by closing
   */
  used(written: boolean): void {
    if (this.settings.ttlMs === undefined) return;
    this.modifiedAt = Date.now();
    this.dirty ||= !written;
  }
}

/** Who leaves the device later. */
function rank({ priority, pinned }: SessionSettings): number {
  return pinned ? Infinity : priority;
}

/** Without our own mark, and without null, which the template's renderer takes for a value of the wrong type. */
function forTemplate(message: object): object {
  return Object.fromEntries(Object.entries(message).filter(([key, value]) => key !== 'interrupted' && value !== null));
}
