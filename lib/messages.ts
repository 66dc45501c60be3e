import { list, object, oneOf, refusal, text, type } from './checks.js';
import { copyJson, DEEPEST } from './json.js';
import type { Message } from './types.js';

/** Most messages in a conversation; far beyond any context. */
const MOST_MESSAGES = 1_000_000;

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
  const given = { ...copyJson(object(name, value), name) };
  // Other servers answer null beside the calls of tools.
  if (Array.isArray(given['tool_calls'])) given['content'] ??= '';
  for (const key of ['role', 'content']) {
    if (given[key] === undefined) throw new TypeError(refusal(`${name}.${key}`, 'a string', undefined));
  }
  for (const [key, check] of Object.entries(KNOWN)) {
    if (given[key] !== undefined) check(`${name}.${key}`, given[key]);
  }
  for (const [key, check] of Object.entries(FOR_TEMPLATES)) {
    if (given[key] !== undefined && given[key] !== null) check(`${name}.${key}`, given[key]);
  }
  if (given['role'] === 'tool') checkNesting(`${name}.content`, given['content'] as string);
  return given as Message;
}

/** Where a text is JSON, llama.cpp may read it, and calls itself for each level of it, until the stack is full. */
function checkNesting(name: string, text: string): void {
  let level: unknown[];
  try {
    level = [JSON.parse(text)];
  } catch {
    return;
  }
  const inside = (value: unknown): unknown[] =>
    typeof value === 'object' && value !== null ? Object.values(value) : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST) throw new TypeError(`${name} must be JSON of at most ${String(DEEPEST)} levels, got more`);
    level = level.flatMap(inside);
  }
}

/** llama.cpp refuses every prompt with one that is another. */
function checkToolCall(name: string, value: unknown): void {
  const call = object(name, value);
  oneOf(['function'])(`${name}.type`, call['type']);
  if (call['id'] !== undefined) string(`${name}.id`, call['id']);
  const called = object(`${name}.function`, call['function']);
  string(`${name}.function.name`, called['name']);
  if (called['arguments'] === undefined) throw new TypeError(refusal(`${name}.function.arguments`, 'JSON', undefined));
  if (typeof called['arguments'] === 'string') checkNesting(`${name}.function.arguments`, called['arguments']);
}
