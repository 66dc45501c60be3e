import { randomUUID } from 'node:crypto';
import { list, object, oneOf, refusal, text, type Check } from './checks.js';
import { copyJson } from './json.js';
import type { NativeToolCall } from './native.js';
import type { ToolCall } from './types.js';

/** llama.cpp makes a grammar of properties that may be absent in time that grows with their cube: half a second for 512. */
const MOST_PROPERTIES = 512;

/** Checks a JSON schema, as far as llama.cpp does not: what it can't follow is GRAMMAR_INVALID. */
export const schemaCheck: Check = (name, value) => {
  checkProperties(copyJson(object(name, value), name), name);
};

function checkProperties(schema: unknown, name: string): void {
  if (typeof schema !== 'object' || schema === null) return;
  for (const [key, part] of Object.entries(schema) as [string, unknown][]) {
    const inside = `${name}.${key}`;
    const count = key === 'properties' && typeof part === 'object' && part !== null ? Object.keys(part).length : 0;
    if (count > MOST_PROPERTIES)
      throw new RangeError(`${inside} must be at most ${String(MOST_PROPERTIES)} properties, got ${String(count)}`);
    checkProperties(part, inside);
  }
}

/** Checks the functions that a model may call. Names are what OpenAI's API takes: they are in no template's way. */
export const toolsCheck: Check = list((name, value) => {
  const tool = copyJson(object(name, value), name);
  oneOf(['function'])(`${name}.type`, tool['type']);
  const given = object(`${name}.function`, tool['function']);
  if (typeof given['name'] !== 'string' || !/^[\w.-]{1,64}$/.test(given['name']))
    throw new TypeError(refusal(`${name}.function.name`, '1 to 64 letters, digits, _, - or .', given['name']));
  if (given['description'] !== undefined) text(0, Infinity)(`${name}.function.description`, given['description']);
  if (given['parameters'] !== undefined) schemaCheck(`${name}.function.parameters`, given['parameters']);
}, 1024);

/** A call as messages carry it. Where the model's format has no ids it gets one: nine characters, as Mistral's templates want. */
export function toToolCall({ id, name, arguments: given }: NativeToolCall): ToolCall {
  return {
    id: id === '' ? randomUUID().replaceAll('-', '').slice(0, 9) : id,
    type: 'function',
    function: { name, arguments: given === '' ? '{}' : given },
  };
}
