import { list, object, oneOf, refusal, text, type } from './checks.js';
import type { Message } from './types.js';

/** Most messages in a conversation; far beyond any context. */
const MOST_MESSAGES = 1_000_000;
/** Deepest nesting of what a message carries; bounds the recursion, and cycles end here too. */
const DEEPEST = 64;

const string = text(0, Infinity);

const KNOWN: Readonly<Record<string, (name: string, value: unknown) => void>> = {
  role: oneOf(['system', 'user', 'assistant', 'tool']),
  content: string,
  interrupted: type('boolean'),
};

/** What else templates are given. Null counts as absent: what other servers answer is full of it. */
const FOR_TEMPLATES: typeof KNOWN = {
  name: string,
  tool_call_id: string,
  tool_calls: list(checkToolCall, MOST_MESSAGES),
  reasoning_content: string,
};

/**
 * Checks a conversation from outside and returns a deep copy, so that later changes of the caller's objects don't reach the
 * session.
 * @param name how errors call it
 * @throws TypeError for anything that is no message, and for values that JSON would drop or change
 */
export function checkMessages(value: unknown, name = 'messages'): Message[] {
  list(() => undefined, MOST_MESSAGES)(name, value);
  // Not map(): it would skip the holes.
  return Array.from(value as unknown[], (message, i) => checkMessage(message, `${name}[${String(i)}]`));
}

/** What `send()` was given, as messages. An empty list is a `TypeError`: there would be nothing to answer. */
export function toMessages(input: unknown): Message[] {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  if (!Array.isArray(input)) return [checkMessage(input, 'message')];
  if (input.length === 0)
    throw new TypeError(refusal('messages', 'a string, a message or a non-empty array of messages', input));
  return checkMessages(input);
}

function checkMessage(value: unknown, name: string): Message {
  const given = object(name, value);
  for (const key of ['role', 'content']) {
    if (given[key] === undefined) throw new TypeError(refusal(`${name}.${key}`, 'a string', undefined));
  }
  for (const [key, check] of Object.entries(KNOWN)) {
    if (given[key] !== undefined) check(`${name}.${key}`, given[key]);
  }
  for (const [key, check] of Object.entries(FOR_TEMPLATES)) {
    if (given[key] !== undefined && given[key] !== null) check(`${name}.${key}`, given[key]);
  }
  return copyJson(given, name, 0) as Message;
}

/** llama.cpp refuses every prompt with one that is another. */
function checkToolCall(name: string, value: unknown): void {
  const call = object(name, value);
  oneOf(['function'])(`${name}.type`, call['type']);
  if (call['id'] !== undefined) string(`${name}.id`, call['id']);
  const called = object(`${name}.function`, call['function']);
  string(`${name}.function.name`, called['name']);
  if (called['arguments'] === undefined) throw new TypeError(refusal(`${name}.function.arguments`, 'JSON', undefined));
}

/** Templates and records see messages as JSON: what JSON can't say is refused here, not lost there. */
function copyJson(value: unknown, name: string, depth: number): unknown {
  if (depth > DEEPEST)
    throw new TypeError(`${name} must be JSON of at most ${String(DEEPEST)} levels, got more or a cycle`);
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (Array.isArray(value)) return Array.from(value, (entry, i) => copyJson(entry, `${name}[${String(i)}]`, depth + 1));
  if (!isPlain(value))
    throw new TypeError(refusal(name, 'JSON (null, boolean, finite number, string, array, plain object)', value));
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  // fromEntries() defines properties: a key '__proto__' stays data.
  return Object.fromEntries(entries.map(([key, entry]) => [key, copyJson(entry, `${name}.${key}`, depth + 1)]));
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // By the prototype's own prototype, as objects of another realm (vm, jest) have another Object.prototype.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
