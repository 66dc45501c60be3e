import { refusal } from './checks.js';

/** Deepest nesting; bounds the recursion, and cycles end here too. */
export const DEEPEST = 64;

/**
 * A deep copy of what goes to templates and records as JSON: what JSON can't say is refused here, not lost there.
 * @throws TypeError
 */
export function copyJson<T>(given: T, name: string): T {
  return copy(given, name, 0) as T;
}

function copy(given: unknown, name: string, depth: number): unknown {
  if (depth > DEEPEST)
    throw new TypeError(`${name} must be JSON of at most ${String(DEEPEST)} levels, got more or a cycle`);
  if (given === null || typeof given === 'string' || typeof given === 'boolean') return given;
  if (typeof given === 'number' && Number.isFinite(given)) return given;
  if (Array.isArray(given)) return Array.from(given, (entry, i) => copy(entry, `${name}[${String(i)}]`, depth + 1));
  if (!isPlain(given))
    throw new TypeError(refusal(name, 'JSON (null, boolean, finite number, string, array, plain object)', given));
  const entries = Object.entries(given).filter(([, entry]) => entry !== undefined);
  // fromEntries() defines properties: a key '__proto__' stays data.
  return Object.fromEntries(entries.map(([key, entry]) => [key, copy(entry, `${name}.${key}`, depth + 1)]));
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // By the prototype's own prototype, as objects of another realm (vm, jest) have another Object.prototype.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** JSON of what is there, without unpaired surrogates, which UTF-8 can't say: they become U+FFFD. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'string' ? Buffer.from(part).toString() : part));
}
