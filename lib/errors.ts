import { inspect, types } from 'node:util';

/**
 * Everything operational that fails carries one of these codes. A code keeps its meaning within a major version, its
 * message does not: compare codes. Wrong use of the API is a plain `TypeError` or `RangeError` and has no code.
 */
export type ErrorCode =
  /** No addon for this platform was found or it could not be loaded. Do what the message lists: reinstall or build it. */
  | 'BINDING_NOT_FOUND'
  /** There is no readable file at the model's path. Check the path and its permissions. */
  | 'MODEL_NOT_FOUND'
  /** The file is no GGUF model, is damaged, or has an unknown architecture. Download it again or upgrade. */
  | 'MODEL_INVALID'
  /** Memory of the device or the machine ran out. Lower `contextTokens`, `maxResident` or `gpuLayers`. */
  | 'OUT_OF_MEMORY'
  /** The conversation has no room left. Start another session, or load with more `contextTokens`. */
  | 'CONTEXT_FULL'
  /** llama.cpp failed to compute a step. The session stays usable: send again; when it repeats, report it. */
  | 'DECODE_FAILED'
  /** A grammar, a JSON schema or a tool's parameters can't be followed. Correct it; llama.cpp prints mistakes in grammars to stderr. */
  | 'GRAMMAR_INVALID'
  /** The model's chat template can't be parsed or refuses this conversation. Check the order of roles. */
  | 'TEMPLATE_INVALID'
  /** The model was closed before or during the call. Load it again. */
  | 'MODEL_CLOSED'
  /** The session was closed before or during the call. Resume it by its id. */
  | 'SESSION_CLOSED'
  /** A session of that id exists already. Resume it, or choose another id. */
  | 'SESSION_EXISTS'
  /** No session (or export file) of that name is stored, or it has expired. Create it. */
  | 'SESSION_NOT_FOUND'
  /** Another process wrote this session since it was read; this one is closed. Resume it to see what is there, then send again. */
  | 'SESSION_CONFLICT'
  /** More turns wait than `maxQueued` allows. Send again later, or answer "busy". */
  | 'QUEUE_FULL'
  /** Your `signal` was aborted; the error is an `AbortError` and holds the text so far in `partial`. */
  | 'ABORTED'
  /** `timeoutMs` passed before the turn ended. Allow more time or fewer tokens. */
  | 'TIMEOUT'
  /** A record or export file is damaged or cut off. Restore it from a copy, or delete the session. */
  | 'SNAPSHOT_CORRUPT'
  /** A record or export file was made by a newer version. Upgrade this package. */
  | 'SNAPSHOT_MISMATCH'
  /** Reading or writing the store failed; `cause` says how. Free space, correct permissions, reconnect; then try again. */
  | 'STORE_FAILED'
  /** The key that encrypted a record is not in the key ring. Add it under its id. */
  | 'KEY_NOT_FOUND'
  /** The option, model or platform lacks this capability in this version. The message names what to use instead. */
  | 'NOT_SUPPORTED'
  /** A defect of this package. Please report it with the message and its `cause`. */
  | 'INTERNAL';

/** A record, so that the compiler refuses it as soon as it and the union differ. */
const KNOWN: Readonly<Record<ErrorCode, true>> = {
  BINDING_NOT_FOUND: true,
  MODEL_NOT_FOUND: true,
  MODEL_INVALID: true,
  OUT_OF_MEMORY: true,
  CONTEXT_FULL: true,
  DECODE_FAILED: true,
  GRAMMAR_INVALID: true,
  TEMPLATE_INVALID: true,
  MODEL_CLOSED: true,
  SESSION_CLOSED: true,
  SESSION_EXISTS: true,
  SESSION_NOT_FOUND: true,
  SESSION_CONFLICT: true,
  QUEUE_FULL: true,
  ABORTED: true,
  TIMEOUT: true,
  SNAPSHOT_CORRUPT: true,
  SNAPSHOT_MISMATCH: true,
  STORE_FAILED: true,
  KEY_NOT_FOUND: true,
  NOT_SUPPORTED: true,
  INTERNAL: true,
};

/** Everything operational that fails. Wrong use is a plain `TypeError` or `RangeError`. */
export class LlamaError extends Error {
  /** What failed; stable within a major version. */
  readonly code: ErrorCode;

  /**
   * @param code what failed
   * @param message what, why, and what to do
   * @param options `cause`: the error underneath
   */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  // On the prototype, not on the instance, so that the stack's first line has it too.
  static {
    Object.defineProperty(this.prototype, 'name', { value: 'LlamaError', writable: true, configurable: true });
  }
}

/** A turn, a load or a wait whose `signal` was aborted. `cause` is the signal's reason. */
export class AbortError extends LlamaError {
  declare readonly name: 'AbortError';
  /** The text that was generated before the abort; empty when nothing was. */
  readonly partial: string;

  /**
   * @param partial the text so far
   * @param reason the signal's `reason`
   */
  constructor(partial: string, reason: unknown) {
    super('ABORTED', 'Aborted by its signal; `partial` holds what a turn had said so far.', { cause: reason });
    this.partial = partial;
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'AbortError', writable: true, configurable: true });
  }
}

/**
 * The typed error for what the addon threw. The stack is that of the caller: native errors have none of their own.
 * @param error anything; a `LlamaError` is returned as it is, an unknown code becomes INTERNAL
 */
export function fromNative(error: unknown): Error {
  if (error instanceof LlamaError) return error;
  if (!isError(error)) return new LlamaError('INTERNAL', `The addon threw ${messageOf(error)}.`, { cause: error });
  const code: unknown = (error as { code?: unknown }).code;
  return new LlamaError(isErrorCode(code) ? code : 'INTERNAL', error.message, { cause: error });
}

/** What an error says, or anything else that was thrown. */
export function messageOf(error: unknown): string {
  if (isError(error)) return error.message;
  return typeof error === 'string' ? error : inspect(error, { depth: 0, customInspect: false }); // String() may throw
}

/** Node prints what a user's function threw. As text: it refuses an error that is not of its own realm. */
export function warnOf(error: unknown): void {
  process.emitWarning(inspect(error, { customInspect: false }));
}

/** Of any realm: the addon's errors and Node's are those of another one where vm or jest made ours. */
function isError(error: unknown): error is Error {
  return types.isNativeError(error) || error instanceof Error; // a DOMException is only the latter
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(KNOWN, code);
}
