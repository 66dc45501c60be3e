import { inspect } from 'node:util';

/**
 * Checks of values from outside. One sentence for all: `<name> must be <what>, got <value>`. A wrong type is a `TypeError`,
 * a value out of range a `RangeError`.
 */
export type Check = (name: string, value: unknown) => void;

/** A check per option. The compiler demands one for every name of T, so that none can be forgotten. */
export type Shape<T> = Readonly<Record<keyof T, Check>>;

/** The sentence of every refusal. */
export function refusal(name: string, what: string, value: unknown): string {
  // inspect() and not String(): '3' and 3 differ, objects without a prototype do not throw, length is bounded.
  const shown = inspect(value, {
    depth: 0,
    maxStringLength: 40,
    maxArrayLength: 4,
    breakLength: Infinity,
    customInspect: false,
  });
  return `${name} must be ${what}, got ${shown}`;
}

/** Whole numbers; both ends belong to it. */
export function integer(least: number, most: number): Check {
  const what = `an integer from ${String(least)} to ${String(most)}`;
  return (name, value) => {
    if (typeof value !== 'number') throw new TypeError(refusal(name, what, value));
    if (!Number.isInteger(value) || value < least || value > most) throw new RangeError(refusal(name, what, value));
  };
}

/** Milliseconds since 1970 that a Date can stand for. */
export const date: Check = integer(0, 8.64e15);

/** Finite numbers; both ends belong to it. */
export function number(least: number, most: number): Check {
  const what = `a number from ${String(least)} to ${String(most)}`;
  return (name, value) => {
    if (typeof value !== 'number') throw new TypeError(refusal(name, what, value));
    if (!(value >= least && value <= most)) throw new RangeError(refusal(name, what, value));
  };
}

/** Strings of so many UTF-16 units. */
export function text(least: number, most: number): Check {
  const bounded = most < Infinity;
  const what = bounded
    ? `a string of ${String(least)} to ${String(most)} characters`
    : least > 0
      ? 'a non-empty string'
      : 'a string';
  return (name, value) => {
    if (typeof value !== 'string') throw new TypeError(refusal(name, what, value));
    if (value.length < least || value.length > most) throw new RangeError(refusal(name, what, value));
  };
}

/** The path of a file. In C++ it ends at its first NUL: that would be another file than the one that was named. */
export function filePath(what: string): Check {
  return (name, value) => {
    if (typeof value !== 'string' || value === '' || value.includes('\0'))
      throw new TypeError(refusal(name, `the path of ${what}`, value));
  };
}

/** One of these strings. */
export function oneOf(choices: readonly string[]): Check {
  const what = `one of ${quoted(choices)}`;
  return (name, value) => {
    if (typeof value !== 'string') throw new TypeError(refusal(name, what, value));
    if (!choices.includes(value)) throw new RangeError(refusal(name, what, value));
  };
}

/** One of these strings, or a whole number; both ends belong to it. */
export function oneOfOrInteger(choices: readonly string[], least: number, most: number): Check {
  const what = `${quoted(choices)} or an integer from ${String(least)} to ${String(most)}`;
  return (name, value) => {
    if (typeof value !== 'string' && typeof value !== 'number') throw new TypeError(refusal(name, what, value));
    const good =
      typeof value === 'string' ? choices.includes(value) : Number.isInteger(value) && value >= least && value <= most;
    if (!good) throw new RangeError(refusal(name, what, value));
  };
}

/** Values of one JavaScript type. */
export function type(name: 'boolean' | 'function'): Check {
  return (option, value) => {
    if (typeof value !== name) throw new TypeError(refusal(option, `a ${name}`, value));
  };
}

/** Arrays of at most so many elements, each of which `each` accepts. */
export function list(each: Check, most: number): Check {
  return (name, value) => {
    if (!Array.isArray(value)) throw new TypeError(refusal(name, 'an array', value));
    if (value.length > most)
      throw new RangeError(`${name} must have at most ${String(most)} elements, got ${String(value.length)}`);
    // By index: forEach() would skip the holes.
    for (let i = 0; i < value.length; i++) each(`${name}[${String(i)}]`, value[i]);
  };
}

/** Objects whose values `each` accepts. */
export function dictionary(each: Check): Check {
  return (name, value) => {
    for (const [key, entry] of Object.entries(object(name, value))) each(`${name}[${inspect(key)}]`, entry);
  };
}

/**
 * Objects of exactly these options; those that are undefined count as absent. Under the name 'options', the argument itself,
 * errors call an option by its own name: `sampling.topK`, as users write it.
 */
export function options(shape: Readonly<Record<string, Check>>): Check {
  return (name, value) => {
    const given = object(name, value);
    const prefix = name === 'options' ? '' : `${name}.`;
    for (const key of Object.keys(given)) {
      if (!Object.hasOwn(shape, key)) throw new TypeError(unknownOption(name, key, Object.keys(shape)));
    }
    for (const [key, check] of Object.entries(shape)) {
      if (given[key] !== undefined) check(prefix + key, given[key]);
    }
  };
}

/** The value as an object with fields: no array, and no Map, Date or the like, whose fields would be looked for in vain. */
export function object(name: string, value: unknown): Record<string, unknown> {
  if (Object.prototype.toString.call(value) !== '[object Object]')
    throw new TypeError(refusal(name, 'an object', value));
  return value as Record<string, unknown>;
}

/** All these fields are there. */
export function demand(name: string, value: object, fields: readonly string[]): void {
  for (const field of fields) {
    if (!Object.hasOwn(value, field)) throw new TypeError(`${name}.${field} is missing`);
  }
}

function unknownOption(name: string, key: string, names: readonly string[]): string {
  const close =
    names.find((known) => known.toLowerCase() === key.toLowerCase()) ??
    names.find((known) => distance(known, key) <= 2);
  const hint = close === undefined ? `its options are ${names.join(', ')}` : `did you mean '${close}'?`;
  return `${name} has no option ${inspect(key, { maxStringLength: 40 })}; ${hint}`;
}

function quoted(choices: readonly string[]): string {
  return choices.map((choice) => `'${choice}'`).join(', ');
}

/** Levenshtein distance; keys are cut at 40 characters, as a hostile one may be long. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: a.length + 1 }, (_, i) => i);
  for (let j = 0; j < Math.min(b.length, 40); j++) {
    const next = [j + 1];
    for (let i = 0; i < a.length; i++) {
      const replace = (row[i] ?? 0) + (a[i] === b[j] ? 0 : 1);
      next.push(Math.min(replace, (row[i + 1] ?? 0) + 1, (next[i] ?? 0) + 1));
    }
    row = next;
  }
  return row[a.length] ?? 0;
}
