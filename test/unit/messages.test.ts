import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkMessages, toMessages } from '../../lib/options.js';

const CALL = { name: 'f', arguments: '{}' };
const calling = (call: unknown): object => ({ role: 'assistant', content: '', tool_calls: [call] });

test('a string is a user message, a message is itself, an array stays one', () => {
  const message = { role: 'tool' as const, content: 'x' };
  expect(toMessages('hi')).toEqual([{ role: 'user', content: 'hi' }]);
  expect(toMessages('')).toEqual([{ role: 'user', content: '' }]);
  expect(toMessages(message)).toEqual([message]);
  expect(toMessages([message, message])).toEqual([message, message]);
});

test('nothing to say is a TypeError', () => {
  expect(() => toMessages([])).toThrow(
    new TypeError('messages must be a string, a message or a non-empty array of messages, got []'),
  );
  for (const input of [undefined, null, 5, true])
    expect(() => toMessages(input)).toThrow(/^message must be an object, got /);
  expect(() => toMessages(['hi'])).toThrow("messages[0] must be an object, got 'hi'");
  expect(checkMessages([])).toEqual([]);
});

test.each([
  [{ content: 'x' }, 'messages[0].role must be a string, got undefined'],
  [{ role: 'user' }, 'messages[0].content must be a string, got undefined'],
  [{ role: 'user', content: null }, 'messages[0].content must be a string, got null'],
  [{ role: 'user', content: 'x', interrupted: 'yes' }, "messages[0].interrupted must be a boolean, got 'yes'"],
  [{ role: 'user', content: 'x', name: 5 }, 'messages[0].name must be a string, got 5'],
  [{ role: 'tool', content: 'x', tool_call_id: 5 }, 'messages[0].tool_call_id must be a string, got 5'],
  [
    { role: 'assistant', content: 'x', reasoning_content: [] },
    'messages[0].reasoning_content must be a string, got []',
  ],
  [{ role: 'assistant', content: 'x', tool_calls: 'x' }, "messages[0].tool_calls must be an array, got 'x'"],
  [calling(5), 'messages[0].tool_calls[0] must be an object, got 5'],
  [calling({ function: CALL }), "messages[0].tool_calls[0].type must be one of 'function', got undefined"],
  [calling({ type: 'function' }), 'messages[0].tool_calls[0].function must be an object, got undefined'],
  [
    calling({ type: 'function', function: { arguments: '' } }),
    'messages[0].tool_calls[0].function.name must be a string, got undefined',
  ],
  [
    calling({ type: 'function', function: { name: 'f' } }),
    'messages[0].tool_calls[0].function.arguments must be JSON, got undefined',
  ],
  [
    calling({ type: 'function', function: { name: 'f', arguments: '['.repeat(100) + ']'.repeat(100) } }),
    /^messages\[0\]\.tool_calls\[0\]\.function\.arguments.* must be JSON of at most 64 levels/,
  ],
  [
    { role: 'tool', content: `${'['.repeat(100)}${']'.repeat(100)}` },
    'messages[0].content must be JSON of at most 64 levels, got more',
  ],
  [calling({ type: 'function', id: 5, function: CALL }), 'messages[0].tool_calls[0].id must be a string, got 5'],
  [{ role: 'user', content: 'x', extra: 1n }, /^messages\[0\]\.extra must be JSON .*, got 1n$/],
  [{ role: 'user', content: 'x', extra: NaN }, /extra must be JSON .*, got NaN$/],
  [{ role: 'user', content: 'x', extra: new Date(0) }, /extra must be JSON /],
  [{ role: 'user', content: 'x', extra: new Map() }, /extra must be JSON /],
  [{ role: 'user', content: 'x', extra: () => 1 }, /extra must be JSON /],
  [{ role: 'user', content: 'x', extra: { deep: [undefined] } }, /extra\.deep\[0\] must be JSON .*, got undefined$/],
  [{ role: 'user', content: 'x', extra: { toJSON: () => 1 } }, /extra must be JSON /],
])('what is no message, or no JSON, is refused: %#', (message, sentence) => {
  expect(() => checkMessages([message])).toThrow(TypeError);
  expect(() => checkMessages([message])).toThrow(sentence);
});

test('cycles and abysses end', () => {
  const cycle: Record<string, unknown> = { role: 'user', content: 'x' };
  cycle['self'] = cycle;
  expect(() => checkMessages([cycle])).toThrow(/must be JSON of at most 64 levels, got more or a cycle/);
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  expect(() => checkMessages([{ role: 'user', content: 'x', deep }])).toThrow(/at most 64 levels/);
});

test('it is a deep copy, in which undefined is absent', () => {
  const given = {
    role: 'assistant' as const,
    content: 'x',
    calls: [{ name: 'f', gone: undefined }],
    interrupted: undefined,
  };
  const [copy] = checkMessages([given]);
  expect(copy).toStrictEqual({ role: 'assistant', content: 'x', calls: [{ name: 'f' }] });
  given.calls[0]!.name = 'changed';
  expect(copy).toStrictEqual({ role: 'assistant', content: 'x', calls: [{ name: 'f' }] });
});

test('null is absent where templates look, as in what other servers answer', () => {
  const nothing = { name: null, tool_call_id: null, tool_calls: null, reasoning_content: null, refusal: null };
  const message = { role: 'assistant' as const, content: 'x', ...nothing };
  expect(checkMessages([message])).toStrictEqual([message]);
});

test('tool calls are taken as they are', () => {
  const calls = [
    { type: 'function', id: 'c1', function: CALL, index: 0 },
    { type: 'function', function: { name: 'f', arguments: { interrupted: null, deep: [1] } } },
  ];
  const message = { role: 'assistant' as const, content: '', tool_calls: calls, reasoning_content: 'hm' };
  expect(checkMessages([message])).toStrictEqual([message]);
  expect(() => checkMessages([calling({ type: 'retrieval', function: CALL })])).toThrow(RangeError);
});

test('who only calls tools has said nothing, which other servers write as null', () => {
  const called = { role: 'assistant', tool_calls: [{ type: 'function', function: CALL }] };
  for (const given of [{ ...called, content: null }, called])
    expect(checkMessages([given])).toStrictEqual([{ ...called, content: '' }]);
});

test('arguments and answers are looked at for their levels alone', () => {
  const deep = `${'['.repeat(64)}${']'.repeat(64)}`;
  const messages = [
    calling({ type: 'function', function: { name: 'f', arguments: '{"x":1e999}' } }),
    calling({ type: 'function', function: { name: 'f', arguments: deep } }),
    { role: 'tool', content: `${'['.repeat(100)} is no JSON` },
    { role: 'user', content: deep.repeat(2) },
  ];
  expect(checkMessages(messages)).toEqual(messages);
});

test('a key __proto__ stays data', () => {
  const [copy] = checkMessages([JSON.parse('{"role":"user","content":"x","__proto__":{"polluted":true}}')]);
  expect(Object.hasOwn(copy ?? {}, '__proto__')).toBe(true);
  expect(copy?.['polluted']).toBeUndefined();
});

test('objects of another realm and without a prototype are plain too', () => {
  const bare: unknown = Object.assign(Object.create(null) as object, { role: 'user', content: 'x' });
  expect(checkMessages([bare])).toEqual([{ role: 'user', content: 'x' }]);
});

test('any JSON is taken as it is, unpaired surrogates too', () => {
  const extra = fc.jsonValue({ maxDepth: 5 }).filter((value) => !JSON.stringify(value).includes('"toJSON"'));
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), extra, (content, value) => {
      // JSON knows no -0.
      const json = JSON.parse(JSON.stringify(value)) as unknown;
      expect(checkMessages([{ role: 'user', content, json }])).toStrictEqual([{ role: 'user', content, json }]);
    }),
  );
  expect(toMessages('\ud800')[0]?.content).toBe('\ud800');
});
