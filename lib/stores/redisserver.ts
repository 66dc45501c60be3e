import { setTimeout as pause } from 'node:timers/promises';
import { types } from 'node:util';
import { LlamaError, messageOf } from '../errors.js';
import type { Script } from './redisscripts.js';

/**
 * A client of the package `redis`, version 5 or newer, that is connected: of `createClient()`, `createClientPool()`, `createCluster()`
 * or `createSentinel()`.
 */
export interface RedisClient {
  /** The same connection, whose commands have these options. */
  withCommandOptions(options: never): unknown;
}

/** What is used of it. */
interface Commands {
  eval(text: string, options: Arguments): Promise<unknown>;
  evalSha(sha1: string, options: Arguments): Promise<unknown>;
  hGet(key: Buffer, field: string): Promise<unknown>;
}

interface Arguments {
  keys: string[];
  arguments: (string | Buffer)[];
}

/** The type of a bulk string in the protocol, `$`: strings come as Buffers, as they need not be UTF-8. */
const TYPE_MAPPING = { 36: Buffer };

/** It is starting, runs somebody's long script, or hands over to another one. */
const NOT_READY: readonly string[] = ['LOADING', 'BUSY', 'TRYAGAIN', 'CLUSTERDOWN', 'MASTERDOWN'];
const RETRY_MS = 50;

const REMEDIES: Readonly<Record<string, string>> = {
  OOM: 'its memory is full; raise `maxmemory`, or give the store fewer `pageBytes`',
  MISCONF: 'it can’t write to its disk; free some space, and look at its log',
  READONLY: 'it is a replica; connect to the primary',
  NOAUTH: 'it wants a password; give the client one',
  NOPERM:
    'the user lacks the permission; allow it scripting, and reads and writes of keys that begin with the prefix in braces',
  WRONGTYPE: 'another program uses keys that begin alike; choose another `prefix`',
};

/** Runs scripts on the keys of one name. */
export class RedisServer {
  readonly #client: RedisClient;
  readonly #name: string;
  readonly #timeoutMs: number;

  constructor(client: RedisClient, name: string, timeoutMs: number) {
    this.#client = client;
    this.#name = name;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Runs a script that may be run twice: when the connection breaks, nobody knows whether it was. Strings of the answer are Buffers.
   * @throws what the client throws; Error when the server does not answer in time
   */
  run(script: Script, ...given: (string | number | Uint8Array)[]): Promise<unknown> {
    const options: Arguments = { keys: [this.#name, `${this.#name}:totals`], arguments: given.map(argument) };
    return this.#inTime((commands) => evaluate(commands, script, options));
  }

  /**
   * Reads one field of a hash. Without a script, which costs large values two more copies.
   * @param key what follows the name
   */
  async field(key: Buffer, field: number): Promise<Buffer | null> {
    const whole = Buffer.concat([Buffer.from(this.#name), key]);
    return (await this.#inTime((commands) => commands.hGet(whole, String(field)))) as Buffer | null;
  }

  async #inTime(work: (commands: Commands) => Promise<unknown>): Promise<unknown> {
    const timeout = new AbortController();
    const commands = this.#client.withCommandOptions({
      typeMapping: TYPE_MAPPING,
      abortSignal: timeout.signal, // what is not sent by then is never sent
    } as never) as Commands;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`the server did not answer within ${String(this.#timeoutMs)} ms`));
        timeout.abort();
      }, this.#timeoutMs);
    });
    try {
      return await Promise.race([attempt(() => work(commands), timeout.signal), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What users see of an error. @param doing as in 'write a session record' */
export function redisFailure(doing: string, where: string, error: unknown): LlamaError {
  if (error instanceof LlamaError) return error;
  const code = replyCode(error);
  const remedy = REMEDIES[code];
  const why = remedy === undefined ? `${messageOf(error)}; see \`cause\`` : `${remedy} (${code})`;
  return new LlamaError('STORE_FAILED', `Could not ${doing} in ${where}: ${why}.`, { cause: error });
}

/** Once more after the connection broke; as long as there is time while the server is not ready. */
async function attempt(work: () => Promise<unknown>, timeout: AbortSignal): Promise<unknown> {
  for (let isBroken = false; ;) {
    try {
      return await work();
    } catch (error) {
      const code = replyCode(error);
      const isFinal = code !== '' && !NOT_READY.includes(code);
      if (timeout.aborted || isFinal || (code === '' && isBroken)) throw error;
      if (code === '') isBroken = true;
      else await pause(RETRY_MS);
    }
  }
}

/** The server forgets scripts when it is restarted. */
async function evaluate(commands: Commands, script: Script, options: Arguments): Promise<unknown> {
  try {
    return await commands.evalSha(script.sha1, options);
  } catch (error) {
    if (replyCode(error) !== 'NOSCRIPT') throw error;
    return commands.eval(script.text, options);
  }
}

/** The word in capitals that the server's errors begin with; empty: it is none of them. */
function replyCode(error: unknown): string {
  return /^[A-Z]+(?= )/.exec(messageOf(error))?.[0] ?? '';
}

function argument(given: string | number | Uint8Array): string | Buffer {
  if (!types.isUint8Array(given)) return String(given);
  return Buffer.from(given.buffer, given.byteOffset, given.byteLength);
}
