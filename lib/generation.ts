import { onAbort } from './abort.js';
import type { Conversation, TurnOutcome } from './conversation.js';
import { AbortError, fromNative, LlamaError } from './errors.js';
import { sessionClosed, type Host, type Operation, type Waiting } from './host.js';
import { keepRecord } from './keeping.js';
import type { Prompt, RequestEnd } from './native.js';
import type { ResolvedTurnOptions } from './options.js';
import { shorten, systemMessages } from './overflow.js';
import { joinTokens } from './tokens.js';
import { toToolCall } from './tools.js';
import { TurnSource, type Turn } from './turn.js';
import type { Message, Timings, ToolCall, Usage } from './types.js';

/** What a turn goes on from: messages to add to the conversation, or a prompt of its own. */
export type TurnInput = { messages: readonly Message[] } | { prompt: string | Int32Array };

/** Runs one turn: waits, takes a sequence, restores and prefills, generates, keeps what came of it, replies. */
export class Generation implements Operation {
  readonly #host: Host;
  readonly #conversation: Conversation;
  readonly #input: TurnInput;
  readonly #options: ResolvedTurnOptions;
  readonly #source: TurnSource;
  readonly #sentAt = performance.now();
  /** Why it ends before its time: an error rejects the turn, 'cancelled' resolves it. */
  #stopped: Error | 'cancelled' | undefined;
  #onStopped: () => void = () => undefined;
  /** Where it is: in the queue, or in the engine. */
  #waiting: Waiting | undefined;
  #request: number | undefined;
  #unwatch: () => void = () => undefined;
  /** What it came to, once it has ended. */
  #text = '';
  #reasoning = '';
  #toolCalls: ToolCall[] = [];
  /** It has left the queue. */
  #admitted = false;
  /** The store is given what came of it. */
  #keeping = false;
  /** Messages that have to go for it, and those that have gone. */
  #dropping: Message[] = [];
  #dropped: Message[] = [];

  constructor(host: Host, conversation: Conversation, input: TurnInput, options: ResolvedTurnOptions) {
    this.#host = host;
    this.#conversation = conversation;
    this.#input = input;
    this.#options = options;
    this.#source = new TurnSource(() => {
      this.stop('cancelled');
    });
  }

  get turn(): Turn {
    return this.#source.turn;
  }

  /** Puts the turn into the queue. What is wrong already rejects it. */
  start(): void {
    const { signal, priority } = this.#options;
    this.#conversation.change(() => this.#conversation.generations.add(this));
    try {
      if (signal?.aborted === true) throw new AbortError('', signal.reason);
      this.#watch();
      this.#waiting = this.#host.addTurn(this.#conversation, priority, this);
    } catch (error) {
      this.#reject(error as Error);
    }
  }

  /** Ends it where it is: in the queue, in prefill, while it generates. */
  stop(why: Error | 'cancelled'): void {
    if (this.#stopped !== undefined || this.#source.ended) return;
    this.#stopped = why;
    this.#onStopped();
    const end = (): void => {
      this.#endUnspoken();
    };
    if (this.#waiting !== undefined && this.#host.removeTurn(this.#waiting, end)) return;
    if (this.#request !== undefined) this.#host.engine.cancel(this.#request);
    // Else it is on its way into the engine, and looks once more before it enters.
  }

  hasRoom(): boolean {
    return this.#host.residency.fits(this.#conversation.kv);
  }

  refuse(error: Error): void {
    this.#stopped ??= error;
    this.#endUnspoken();
  }

  async run(): Promise<void> {
    this.#admitted = true;
    try {
      // First of all: who hears that it runs may send elsewhere, and would be given the sequence.
      const sequence = this.#host.residency.seat(this.#conversation.kv);
      this.#conversation.change(() => (this.#conversation.running = true));
      await this.#go(sequence, performance.now());
    } catch (error) {
      this.#reject(error as Error);
    }
  }

  async #go(sequence: number, admittedAt: number): Promise<void> {
    const { residency } = this.#host;
    const { kv } = this.#conversation;
    let kvHolds: Int32Array | undefined;
    try {
      const stopped = new Promise<void>((resolve) => (this.#onStopped = resolve));
      // A long text takes seconds, in which nobody can be told to stop.
      const prompt = this.#isStopped() ? undefined : await Promise.race([this.#prompt(), stopped]);
      const preparedAt = performance.now();
      if (prompt !== undefined && !this.#isStopped()) await residency.restore(kv, prompt.tokens, stopped);
      // Read through a call: it may have changed during the awaits above, which the compiler can't know.
      if (prompt === undefined || this.#isStopped()) {
        this.#endUnspoken();
        return;
      }
      const submittedAt = performance.now();
      const end = await this.#generate(sequence, prompt);
      this.#text = end.text;
      this.#reasoning = end.reasoning;
      this.#toolCalls = end.toolCalls.map(toToolCall);
      residency.worth.computed(end.promptTokens - end.cachedTokens, end.prefillMs);
      const tokens = joinTokens(prompt.tokens, end.tokens);
      kvHolds = tokens.subarray(0, end.kvTokens);
      const finished = this.#finish(end, tokens, {
        queueMs: admittedAt - this.#sentAt,
        restoreMs: submittedAt - preparedAt,
        prefillMs: end.prefillMs,
        firstTokenMs: end.generatedTokens > 0 ? submittedAt - this.#sentAt + end.firstTokenMs : 0,
        generateMs: end.generateMs,
        tokensPerSecond: end.generateMs > 0 ? ((end.generatedTokens - 1) * 1000) / end.generateMs : 0,
      });
      // Others may have the sequence while the disk writes.
      kv.recorded = finished.catch(() => undefined);
      residency.release(kv, kvHolds);
      await finished;
    } finally {
      if (kvHolds === undefined) residency.release(kv);
    }
  }

  /** The whole prompt as tokens; texts are tokenised on another thread. */
  async #prompt(): Promise<Prompt> {
    const { engine, info } = this.#host;
    const { reply } = this.#options;
    if (!('messages' in this.#input)) {
      const { prompt } = this.#input;
      if (typeof prompt === 'string') return engine.prepareText(prompt, reply.jsonSchema);
      if (reply.jsonSchema === '') return { tokens: prompt, format: undefined };
      return { ...(await engine.prepareText('', reply.jsonSchema)), tokens: prompt };
    }
    const added = this.#input.messages;
    const { messages, settings, tokens } = this.#conversation;
    const render = (first: number): Promise<Prompt> =>
      engine.prepareChat(this.#conversation.promptJson(added, first), tokens, reply);
    const prompt = await render(0);
    if (settings.overflow !== 'dropOldest') return prompt;
    const shortened = await shorten(prompt, messages, added, render, info.sessionTokens, this.#options.maxTokens);
    this.#dropping = messages.slice(systemMessages(messages), shortened.first);
    return shortened.prompt;
  }

  #generate(sequence: number, { tokens, format: found }: Prompt): Promise<RequestEnd> {
    const { sampling, stop, ignoreEog, maxTokens } = this.#options;
    // Who writes a grammar says what all of the reply is.
    const format = sampling.grammar === '' ? found : undefined;
    return new Promise((resolve) => {
      this.#request = this.#host.engine.submit(
        {
          ...sampling,
          sequence,
          tokens,
          format,
          stop,
          ignoreEog,
          maxTokens: maxTokens ?? this.#host.info.sessionTokens,
        },
        this.#source,
        resolve,
      );
    });
  }

  /** Keeps what came of the turn, durably, and only then tells. */
  async #finish(end: RequestEnd, tokens: Int32Array, timings: Timings): Promise<void> {
    const failure =
      end.reason === 'error' ? fromNative(end.error) : this.#stopped instanceof Error ? this.#stopped : undefined;
    const interrupted = failure !== undefined || end.reason === 'cancelled';
    // A turn that came to nothing leaves the conversation as it was.
    if (!interrupted || this.#text !== '') {
      this.#conversation.add(this.#outcome(tokens, end.kvTokens, interrupted));
      this.#dropped = this.#dropping; // nobody else has them now
      this.#keeping = true;
      await keepRecord(this.#host, this.#conversation);
    }
    if (failure !== undefined || end.reason === 'error') {
      this.#reject(failure ?? new LlamaError('INTERNAL', 'The engine ended a turn without a reason.'));
      return;
    }
    const { promptTokens, cachedTokens, generatedTokens, draftedTokens, acceptedTokens } = end;
    const usage = { promptTokens, cachedTokens, generatedTokens, draftedTokens, acceptedTokens };
    this.#resolve(end.reason, usage, timings);
  }

  #outcome(tokens: Int32Array, kvTokens: number, interrupted: boolean): TurnOutcome {
    const kept = { tokens, kvTokens, dropped: this.#dropping.length };
    if (!('messages' in this.#input)) return { ...kept, messages: [] };
    const answer: Message = {
      role: 'assistant',
      content: this.#text,
      ...(this.#reasoning !== '' && { reasoning_content: this.#reasoning }),
      ...(this.#toolCalls.length > 0 && { tool_calls: this.#toolCalls }),
      ...(interrupted && { interrupted }),
    };
    return { ...kept, messages: [...this.#input.messages, answer] };
  }

  /** Stopped before the engine had it. */
  #endUnspoken(): void {
    if (this.#stopped instanceof Error) {
      this.#reject(this.#stopped);
      return;
    }
    const none = { queueMs: 0, restoreMs: 0, prefillMs: 0, firstTokenMs: 0, generateMs: 0, tokensPerSecond: 0 };
    const usage = { promptTokens: 0, cachedTokens: 0, generatedTokens: 0, draftedTokens: 0, acceptedTokens: 0 };
    this.#resolve('cancelled', usage, { ...none, queueMs: performance.now() - this.#sentAt });
  }

  #resolve(finishReason: 'stop' | 'length' | 'stopSequence' | 'cancelled', usage: Usage, timings: Timings): void {
    if (this.#source.ended) return;
    const { counters } = this.#host;
    counters.turns++;
    if (finishReason === 'cancelled') counters.cancelledTurns++;
    const said = { text: this.#text, reasoning: this.#reasoning, toolCalls: structuredClone(this.#toolCalls) };
    const reply = { ...said, finishReason, usage, timings, dropped: this.#dropped };
    this.#source.resolve(reply);
    this.#conversation.events.emit('turn', reply);
    this.#leave();
  }

  #reject(why: Error): void {
    if (this.#source.ended) return;
    const error = why instanceof AbortError ? new AbortError(this.#text, why.cause) : why;
    this.#host.counters.failedTurns++;
    this.#source.reject(error);
    this.#conversation.events.emit('error', error);
    this.#leave();
  }

  #watch(): void {
    const { signal, timeoutMs } = this.#options;
    const unlisten = onAbort(signal, () => {
      this.#giveUp(new AbortError('', signal?.reason));
    });
    const onTimeout = (): void => {
      this.#giveUp(
        new LlamaError(
          'TIMEOUT',
          `The turn took longer than its timeoutMs of ${String(timeoutMs)}; allow more, or fewer maxTokens.`,
        ),
      );
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(onTimeout, timeoutMs);
    this.#unwatch = () => {
      unlisten();
      clearTimeout(timer);
    };
  }

  /** Nobody waits for a store that does not answer; what the session is asked for next does. */
  #giveUp(why: LlamaError): void {
    if (this.#keeping) this.#reject(why);
    else this.stop(why);
  }

  /** Before anybody who waits for the turn goes on. */
  #leave(): void {
    this.#unwatch();
    this.#conversation.used(this.#keeping);
    this.#conversation.change(() => {
      this.#conversation.generations.delete(this);
      if (this.#admitted) this.#conversation.running = false;
    });
  }

  #isStopped(): boolean {
    if (this.#conversation.closed) this.#stopped ??= sessionClosed(this.#conversation.id);
    return this.#stopped !== undefined;
  }
}
