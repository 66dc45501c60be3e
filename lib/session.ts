import { randomUUID } from 'node:crypto';
import { filePath, refusal } from './checks.js';
import type { Conversation } from './conversation.js';
import { LlamaError } from './errors.js';
import { hasExpired } from './expiry.js';
import { Generation, type TurnInput } from './generation.js';
import { sessionClosed, type Host } from './host.js';
import { exportConversation, isConflict, keepAll, keepRecord } from './keeping.js';
import { toMessages } from './messages.js';
import { checkUnstored } from './opening.js';
import { checkForkOptions, checkMessageCount, replyOptions, resolveTurnOptions } from './options.js';
import { checkTokens, commonPrefix, NO_TOKENS } from './tokens.js';
import type { Turn } from './turn.js';
import type { Message, SessionEvents, TurnOptions } from './types.js';

/** The compiler demands every one. */
const EVENTS: Record<keyof SessionEvents, true> = {
  state: true,
  turn: true,
  parked: true,
  expiring: true,
  expired: true,
  error: true,
};

/** Makes a session of that id, unless there is one. */
export type OpenAs = (id: string, make: () => Promise<Conversation>) => Promise<Session>;

/**
 * A user's conversation with the model. Calls on one session run in order; sessions run side by side.
 *
 * This is a handle: a session whose handle is dropped is closed by itself when nothing of it runs, after its record went to
 * the store. Made by `Model`.
 */
export class Session implements AsyncDisposable {
  readonly #host: Host;
  readonly #conversation: Conversation;
  readonly #openAs: OpenAs;

  /** @internal */
  constructor(host: Host, conversation: Conversation, openAs: OpenAs) {
    this.#host = host;
    this.#conversation = conversation;
    this.#openAs = openAs;
  }

  get id(): string {
    return this.#conversation.id;
  }

  get state(): 'idle' | 'queued' | 'running' | 'closed' {
    return this.#conversation.state;
  }

  /** Where its KV is now. */
  get residency(): 'device' | 'ram' | 'store' | 'none' {
    return this.#host.residency.tierOf(this.#conversation.kv);
  }

  /** The conversation, without the system message of `SessionOptions.system`. A copy; it changes when a turn has ended. */
  get messages(): readonly Message[] {
    return structuredClone(this.#conversation.messages);
  }

  get metadata(): Readonly<Record<string, string>> {
    return { ...this.#conversation.metadata };
  }

  /**
   * Adds the message(s) and generates the assistant's. What a message writes is text: where it spells a control token, of another
   * role's turn, say, the model reads letters. What is kept: a reply that was cancelled, aborted or failed after it had
   * begun stays, marked `interrupted`; a turn that came to nothing leaves the conversation as it was.
   * @param input a text is a user's message
   * @throws TypeError, RangeError for wrong arguments; everything else rejects the turn: AbortError, TIMEOUT, QUEUE_FULL,
   * CONTEXT_FULL, GRAMMAR_INVALID, TEMPLATE_INVALID, NOT_SUPPORTED (tools), DECODE_FAILED, STORE_FAILED, SESSION_CONFLICT,
   * SESSION_CLOSED, MODEL_CLOSED
   */
  send(input: string | Message | Message[], options?: TurnOptions): Turn {
    return this.#start({ messages: toMessages(input) }, options);
  }

  /**
   * Continues raw text or tokens, with no chat template and no message added. `prompt` is the whole prompt: what a former call
   * had in common with it comes from the KV cache. Control tokens written in a text count as such.
   * @throws as `send()`
   */
  complete(prompt: string | ArrayLike<number>, options?: TurnOptions): Turn {
    const tokens = typeof prompt === 'string' ? prompt : checkTokens(prompt, this.#host.info.vocabularySize, 'prompt');
    if (tokens.length === 0) throw new RangeError('prompt must hold something to go on from, got nothing');
    return this.#start({ prompt: tokens }, options);
  }

  /** Ends the running turn quietly: it resolves with what there is, finishReason 'cancelled'. Those that wait go on. */
  cancel(): void {
    if (!this.#conversation.running) return;
    const [running] = this.#conversation.generations;
    running?.stop('cancelled');
  }

  /**
   * A new session that has said the same so far, and goes its own way from here. It costs neither prefill nor a copy: what both
   * have in common is kept once. Settings and metadata are copied; it is in the store from its first turn, `save()` or `close()`
   * on.
   * @param options `id`: its own, by default a fresh one; `atMessage`: only the first so many messages
   * @throws TypeError, RangeError; LlamaError SESSION_EXISTS, SESSION_CONFLICT (another process has one of that id open),
   * SESSION_CLOSED, MODEL_CLOSED, STORE_FAILED
   */
  async fork(options?: { id?: string; atMessage?: number }): Promise<Session> {
    return this.#inOrder(async () => {
      const parent = this.#conversation;
      checkForkOptions(options, parent.messages.length);
      const { id = randomUUID(), atMessage = parent.messages.length } = options ?? {};
      return this.#openAs(id, async () => {
        if (options?.id !== undefined) await checkUnstored(this.#host, id);
        const tokens = await tokensUntil(this.#host, parent, atMessage);
        const child = parent.forked(id, atMessage, tokens);
        this.#host.residency.fork(parent.kv, child.kv, tokens);
        return child;
      });
    });
  }

  /**
   * Forgets all messages but the first so many. What these have of KV stays. Durable on return, if the session was stored.
   * @throws TypeError, RangeError; LlamaError SESSION_CLOSED, MODEL_CLOSED, STORE_FAILED, SESSION_CONFLICT
   */
  async rewind(toMessage: number): Promise<void> {
    return this.#inOrder(async () => {
      const conversation = this.#conversation;
      checkMessageCount('toMessage', toMessage, conversation.messages.length);
      if (toMessage === conversation.messages.length) return;
      const tokens = await tokensUntil(this.#host, conversation, toMessage);
      conversation.rewind(toMessage, tokens);
      await this.#host.residency.cut(conversation.kv, tokens);
      if (conversation.version > 0 || conversation.doubtful !== undefined) await keepRecord(this.#host, conversation);
    });
  }

  /**
   * Durable on return: messages, tokens and settings (every turn wrote those already), and the KV, so that the session goes on
   * without prefill wherever it is resumed. Writes only what is new.
   */
  save(): Promise<void> {
    return this.#inOrder(() => keepAll(this.#host, this.#conversation));
  }

  /** One portable file: messages, tokens, settings, KV. Durable on return. @returns its size */
  export(path: string): Promise<{ bytes: number }> {
    filePath('a file')('path', path);
    return this.#inOrder(() => exportConversation(this.#host, this.#conversation, path));
  }

  /** Leaves the device now; the next turn brings it back. */
  park(): Promise<void> {
    return this.#inOrder(() => this.#host.residency.park(this.#conversation.kv));
  }

  /**
   * Ends its life in this process; what the store keeps can be resumed. Turns that run or wait reject with SESSION_CLOSED; the
   * record is written first. Idempotent.
   */
  close(): Promise<void> {
    return closeConversation(this.#host, this.#conversation);
  }

  /** Closes it, and removes what the store keeps of it. */
  async delete(): Promise<void> {
    await this.#host.exclusively(this.id, async () => {
      this.#host.checkOpen(this.#conversation);
      await deleteConversation(this.#host, this.#conversation);
    });
  }

  /** @returns a function that takes the listener away again @throws TypeError, also when there is no such event */
  on<E extends keyof SessionEvents>(event: E, listener: (payload: SessionEvents[E]) => void): () => void {
    if (typeof event !== 'string' || !Object.hasOwn(EVENTS, event))
      throw new TypeError(refusal('event', `one of ${Object.keys(EVENTS).join(', ')}`, event));
    if (typeof listener !== 'function') throw new TypeError('listener must be a function');
    return this.#conversation.events.on(event, listener);
  }

  /** `close()` */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #start(input: TurnInput, options: TurnOptions | undefined): Turn {
    const resolved = resolveTurnOptions(this.#conversation.settings, options, 'messages' in input);
    for (const token of resolved.sampling.biasTokens) {
      if (token >= this.#host.info.vocabularySize)
        throw new RangeError(`sampling.logitBias names token ${String(token)}, which the vocabulary does not have`);
    }
    const generation = new Generation(this.#host, this.#conversation, input, resolved);
    generation.start();
    return generation.turn;
  }

  async #inOrder<T>(work: () => Promise<T>): Promise<T> {
    return this.#host.inOrder(this.#conversation, work);
  }
}

/** Why a conversation can't be rendered. */
const UNRENDERED: ReadonlySet<string> = new Set(['TEMPLATE_INVALID', 'NOT_SUPPORTED', 'GRAMMAR_INVALID']);

/** The tokens that stay when only the first so many messages do. */
async function tokensUntil(host: Host, conversation: Conversation, messages: number): Promise<Int32Array> {
  const { tokens } = conversation;
  if (messages === conversation.messages.length) return tokens;
  if (messages === 0 && conversation.settings.system === undefined) return NO_TOKENS;
  try {
    const json = conversation.promptJson([], 0, messages);
    const reply = replyOptions({ ...conversation.settings, sampling: {} });
    const rendered = await host.engine.prepareChat(json, tokens, reply);
    return tokens.subarray(0, commonPrefix(tokens, rendered.tokens));
  } catch (error) {
    // Some templates refuse what does not end with a user's message, or tools. To know the tokens only saves time.
    if (error instanceof LlamaError && UNRENDERED.has(error.code)) return NO_TOKENS;
    throw error;
  }
}

/** Ends a session's life in this process. Idempotent. @throws LlamaError STORE_FAILED; it is closed all the same */
export function closeConversation(host: Host, conversation: Conversation): Promise<void> {
  if (conversation.closing === undefined) {
    // Set before it begins: listeners hear of it on the way, and may close it too, or ask for its id.
    let begun: (ended: Promise<void>) => void = () => undefined;
    conversation.closing = new Promise<void>((resolve) => (begun = resolve));
    begun(close(host, conversation));
  }
  return conversation.closing;
}

/** Closes a session and removes what the store keeps of it. */
export async function deleteConversation(host: Host, conversation: Conversation): Promise<void> {
  const { tokens } = conversation.kv;
  await discard(host, conversation);
  await host.store.deleteRecord(conversation.id);
  host.residency.forget(tokens);
}

/** Ends a session whose time is over, and removes it, unless another process has it by now. Its listeners hear of it. */
export function expireConversation(host: Host, conversation: Conversation): Promise<void> {
  const { id, events } = conversation;
  // Looked at when it is its turn: until then it may go on, or be given more time.
  const remove = async (): Promise<boolean> => {
    if (conversation.state !== 'idle' || !hasExpired(conversation)) return false;
    await host.store.deleteRecord(id, { expected: conversation.version });
    return true;
  };
  return host.exclusively(id, async () => {
    if (conversation.closed) return;
    try {
      if (!(await host.inOrder(conversation, remove))) return;
      events.emit('expired', {});
    } catch (error) {
      if (host.closed) return; // which closes it as it is
      if (isConflict(error)) conversation.conflict = error;
      else events.emit('error', error as Error);
    }
    await discard(host, conversation);
  });
}

async function discard(host: Host, conversation: Conversation): Promise<void> {
  conversation.deleted = true;
  await closeConversation(host, conversation);
}

async function close(host: Host, conversation: Conversation): Promise<void> {
  // Asked for before it is closed, as nothing is let in afterwards: it is the last of what the session does.
  // A model that is closed meanwhile refuses whatever waits, this too, and lets what runs end.
  const ended = host.inOrder(conversation, () => Promise.resolve()).catch(() => host.drain());
  conversation.change(() => (conversation.closed = true));
  for (const turn of [...conversation.generations]) turn.stop(sessionClosed(conversation.id));
  try {
    await ended;
    if (conversation.conflict === undefined) await keepRecord(host, conversation);
  } finally {
    const { kv, id, deleted, conflict } = conversation;
    if (deleted || conflict !== undefined) {
      host.residency.delete(kv);
    } else {
      // To the store, behind: so that it goes on without prefill wherever it is resumed.
      if (host.residency.tiers.keepsPages) await host.residency.park(kv);
      host.residency.drop(kv);
    }
    await host.release(id); // while it is open still: who resumes it waits, or would lose the claim that he has just got
    host.open.delete(id);
  }
}
