import { addon } from './binding.js';
import { fromNative } from './errors.js';
import type {
  EngineInfo,
  EngineOptions,
  NativeEngine,
  Prompt,
  ReplyOptions,
  RequestEnd,
  SubmitOptions,
} from './native.js';
import { OneByOne } from './onebyone.js';
import type { Piece } from './types.js';

/** Characters from which on a text is long: to tokenise it takes a tenth of a second and more. */
const LONG_TEXT = 2 ** 18;

/**
 * Who hears of a request, piece by piece, then once at its end. Neither may throw. The sink is an object, not a function of the
 * caller's: with each piece the thread finds everything that lies in between in cold memory.
 */
interface Request {
  sink: { push(piece: Piece): void };
  end: (end: RequestEnd) => void;
}

/**
 * The native engine, with its failures typed and its events sent to who waits for them. Held by what uses it and by nothing
 * else: a model that is dropped without close() is collected, and its engine ends.
 */
export class Engine {
  readonly #native: NativeEngine;
  readonly #requests = new Map<number, Request>();
  /** Long texts, one at a time: four would take all threads of Node's pool for seconds, from short texts and from every file. */
  readonly #long = new OneByOne();
  #nextRequest = 1;
  /** A step lacked KV cells, and idle sequences hold some. */
  onPressure: (cells: number) => void = () => undefined;

  constructor(onProgress: (fraction: number) => void) {
    const { Engine: Native } = addon();
    this.#native = new Native((text, numbers, ends, cellsWanted) => {
      this.#deliver(text, numbers);
      for (const end of ends) this.#end(end);
      if (cellsWanted > 0) this.onPressure(cellsWanted);
    }, onProgress);
  }

  open(options: EngineOptions): Promise<EngineInfo> {
    return typed(() => this.#native.open(options));
  }

  close(): Promise<void> {
    return typed(() => this.#native.close());
  }

  tokenize(text: string, addSpecial: boolean, parseSpecial: boolean): Int32Array {
    return typedSync(() => this.#native.tokenize(text, addSpecial, parseSpecial));
  }

  detokenize(tokens: Int32Array, special: boolean): string {
    return typedSync(() => this.#native.detokenize(tokens, special));
  }

  prepareChat(messagesJson: string, known: Int32Array, reply: ReplyOptions): Promise<Prompt> {
    return this.#prepare(messagesJson, () => this.#native.prepareChat(messagesJson, known, reply));
  }

  prepareText(text: string, jsonSchema: string): Promise<Prompt> {
    return this.#prepare(text, () => this.#native.prepareText(text, jsonSchema));
  }

  /** @returns the request's number, for `cancel()` @throws LlamaError GRAMMAR_INVALID, MODEL_CLOSED */
  submit(options: Omit<SubmitOptions, 'request'>, sink: Request['sink'], end: Request['end']): number {
    const request = this.#nextRequest++;
    typedSync(() => {
      this.#native.submit({ ...options, request });
    });
    this.#requests.set(request, { sink, end });
    return request;
  }

  cancel(request: number): void {
    this.#native.cancel(request);
  }

  adoptPrefix(sequence: number, tokens: Int32Array): Promise<number> {
    return typed(() => this.#native.adoptPrefix(sequence, tokens));
  }

  exportKv(sequence: number, from: number, to: number): Promise<Uint8Array> {
    return typed(() => this.#native.exportKv(sequence, from, to));
  }

  importKv(sequence: number, from: number, tokens: Int32Array, kv: Uint8Array, trusted: boolean): Promise<boolean> {
    return typed(() => this.#native.importKv(sequence, from, tokens, kv, trusted));
  }

  clearSequence(sequence: number): Promise<void> {
    return typed(() => this.#native.clearSequence(sequence));
  }

  stats(): Record<string, number> {
    return this.#native.stats();
  }

  #prepare(text: string, work: () => Promise<Prompt>): Promise<Prompt> {
    return typed(() => (text.length < LONG_TEXT ? work() : this.#long.run('', work)));
  }

  #deliver(text: string, numbers: Int32Array): void {
    let at = 0;
    let from = 0;
    const next = (): number => numbers[at++] ?? 0;
    for (let pieces = next(); pieces > 0; pieces--) {
      const request = this.#requests.get(next());
      const kind = next() === 0 ? 'text' : 'reasoning';
      const said = text.slice(from, (from += next()));
      // Nearly always one; a list that grows by push() begins with room for 17.
      const count = next();
      const tokens = count === 1 ? [next()] : Array.from(numbers.subarray(at, (at += count)));
      request?.sink.push({ text: said, tokens, kind });
    }
  }

  #end(end: RequestEnd): void {
    const request = this.#requests.get(end.request);
    this.#requests.delete(end.request);
    request?.end(end);
  }
}

async function typed<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNative(error);
  }
}

function typedSync<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}
