/** Tools, JSON schemas and reasoning: what is asked of a reply, and what is refused. */
import { expect, test } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import { resolveSessionOptions, resolveTurnOptions } from '../../lib/options.js';
import { toToolCall } from '../../lib/tools.js';
import type { Tool } from '../../lib/types.js';

const plain = resolveSessionOptions().settings;
const session = (options: object): unknown => resolveSessionOptions(options);
const turn = (options: object): unknown => resolveTurnOptions(plain, options);
const tool = (given: object): object => ({ type: 'function', function: given });
const MANY = Object.fromEntries(Array.from({ length: 513 }, (_, i) => [`p${i}`, {}]));

test('what is asked of a reply, as JSON', () => {
  const tool: Tool = { type: 'function', function: { name: 'f' } };
  const { settings } = resolveSessionOptions({ tools: [tool], toolChoice: 'required', reasoning: 'off' });
  const none = { tools: JSON.stringify([tool]), reasoning: false, jsonSchema: '' };
  expect(resolveTurnOptions(settings).reply).toEqual({ ...none, toolChoice: 'required' });
  const schema = { toolChoice: 'none', sampling: { jsonSchema: { enum: [1] } } } as const;
  const own = resolveTurnOptions(settings, schema).reply;
  expect(own).toEqual({ ...none, toolChoice: 'none', jsonSchema: '{"enum":[1]}' });
  const without = { tools: [], toolChoice: 'auto', reasoning: 'auto' } as const;
  expect(resolveTurnOptions(settings, { ...without, tools: [] }).reply).toMatchObject({ tools: '', reasoning: true });
});

type Row = [call: (options: object) => unknown, options: object, kind: 'type' | 'range', sentence: string];

test.each<Row>([
  [session, { tools: {} }, 'type', 'tools must be an array, got {}'],
  [turn, { tools: [{}] }, 'type', "tools[0].type must be one of 'function', got undefined"],
  [turn, { tools: [{ type: 'function' }] }, 'type', 'tools[0].function must be an object, got undefined'],
  [
    turn,
    { tools: [tool({ name: 'a b' })] },
    'type',
    "tools[0].function.name must be 1 to 64 letters, digits, _, - or ., got 'a b'",
  ],
  [
    turn,
    { tools: [tool({ name: 'f', description: 5 })] },
    'type',
    'tools[0].function.description must be a string, got 5',
  ],
  [
    turn,
    { tools: [tool({ name: 'f', parameters: [] })] },
    'type',
    'tools[0].function.parameters must be an object, got []',
  ],
  [
    turn,
    { tools: [tool({ name: 'f', parameters: { items: { properties: MANY } } })] },
    'range',
    'tools[0].function.parameters.items.properties must be at most 512 properties, got 513',
  ],
  [session, { toolChoice: 'must' }, 'range', "toolChoice must be one of 'auto', 'required', 'none', got 'must'"],
  [session, { toolChoice: 'required' }, 'type', "toolChoice 'required' takes tools"],
  [turn, { reasoning: true }, 'type', "reasoning must be one of 'auto', 'off', got true"],
  [turn, { sampling: { jsonSchema: 'x' } }, 'type', "sampling.jsonSchema must be an object, got 'x'"],
  [
    turn,
    { sampling: { jsonSchema: { properties: MANY } } },
    'range',
    'sampling.jsonSchema.properties must be at most 512 properties, got 513',
  ],
  [
    session,
    { sampling: { jsonSchema: {}, grammar: 'root ::= "a"' } },
    'type',
    'sampling.grammar and sampling.jsonSchema exclude each other; give one of them',
  ],
  [
    turn,
    { tools: [tool({ name: 'f' })], sampling: { jsonSchema: {} } },
    'type',
    "sampling.grammar and sampling.jsonSchema leave no room for tools; set toolChoice to 'none' with them",
  ],
])('what is refused: %#', (call, options, kind, sentence) => {
  expect(() => call(options)).toThrow(sentence);
  expect(() => call(options)).toThrow(kind === 'type' ? TypeError : RangeError);
  expect(() => call(options)).not.toThrow(LlamaError);
});

test("a call without an id gets one that Mistral's templates take, and no arguments are none", () => {
  const made = toToolCall({ id: '', name: 'f', arguments: '' });
  expect(made).toEqual({ id: made.id, type: 'function', function: { name: 'f', arguments: '{}' } });
  expect(made.id).toMatch(/^[a-zA-Z0-9]{9}$/);
  expect(toToolCall({ id: '', name: 'f', arguments: '' }).id).not.toBe(made.id);
  expect(toToolCall({ id: 'call_1', name: 'f', arguments: '{"a":1}' })).toMatchObject({ id: 'call_1' });
});
