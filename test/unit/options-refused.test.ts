import { describe, expect, test } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import {
  checkForkOptions,
  checkId,
  checkMessageCount,
  resolveLoadOptions,
  resolveResumeOptions,
  resolveSessionOptions,
  resolveTurnOptions,
} from '../../lib/options.js';

type Kind = 'type' | 'range';
const INT32 = 2 ** 31 - 1;
const plain = resolveSessionOptions().settings;
const load = (options: object): unknown => resolveLoadOptions(options);
const session = (options: object): unknown => resolveSessionOptions(options);
const turn = (options: object): unknown => resolveTurnOptions(plain, options);
const resume = (options: object): unknown => resolveResumeOptions({ settings: plain, metadata: {} }, options);
const fork = (options: object): unknown => checkForkOptions(options, 4);

function refuses(call: () => unknown, kind: Kind, sentence: string): void {
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(kind === 'type' ? TypeError : RangeError);
  expect(error).not.toBeInstanceOf(LlamaError);
  expect((error as Error).message).toBe(sentence);
}

describe('what is refused, and how it is said', () => {
  type Row = [name: string, least: number, most: number];
  const either: Row[] = [
    ['maxTokens', 1, INT32],
    ['sampling.topK', 0, INT32],
    ['sampling.seed', 0, 4_294_967_295],
  ];
  const integers: [(options: object) => unknown, Row[]][] = [
    [
      load,
      [
        ['maxResident', 1, 256],
        ['batchTokens', 1, 65_536],
        ['threads', 1, 512],
        ['maxQueued', 1, INT32],
      ],
    ],
    [
      load,
      [
        ['cache.ramBytes', 0, Number.MAX_SAFE_INTEGER],
        ['cache.pageTokens', 16, 65_536],
        ['cache.idleMs', 0, INT32],
      ],
    ],
    [(options) => load({ store: '/x', ...options }), [['cache.diskBytes', 0, Number.MAX_SAFE_INTEGER]]],
    [session, [...either, ['ttlMs', 1, 3_153_600_000_000]]],
    [turn, [...either, ['timeoutMs', 1, INT32]]],
  ];

  test.each(integers.flatMap(([call, rows]) => rows.map((row) => [call, ...row] as const)))(
    '%o %s is an integer from %d to %d',
    (call, name, least, most) => {
      const must = `${name} must be an integer from ${String(least)} to ${String(most)}, got`;
      for (const good of [least, most]) expect(() => call(nest(name, good))).not.toThrow();
      for (const bad of [least - 1, most + 1, 1.5, NaN, Infinity, -Infinity]) {
        // Beyond 2^53 one more is the same number.
        if (bad === most + 1 && !Number.isSafeInteger(bad)) continue;
        refuses(() => call(nest(name, bad)), 'range', `${must} ${String(bad)}`);
      }
      refuses(() => call(nest(name, 'x')), 'type', `${must} 'x'`);
      refuses(() => call(nest(name, '3')), 'type', `${must} '3'`);
      refuses(() => call(nest(name, null)), 'type', `${must} null`);
      refuses(() => call(nest(name, 3n)), 'type', `${must} 3n`);
    },
  );

  test.each<[string, number, number]>([
    ['sampling.temperature', 0, 100],
    ['sampling.topP', 0, 1],
    ['sampling.minP', 0, 1],
    ['sampling.repeatPenalty', 0.01, 100],
    ['sampling.frequencyPenalty', -100, 100],
    ['sampling.presencePenalty', -100, 100],
    ['priority', -1000, 1000],
  ])('%s is a number from %d to %d', (name, least, most) => {
    const must = `${name} must be a number from ${String(least)} to ${String(most)}, got`;
    for (const call of [session, turn]) {
      for (const good of [least, (least + most) / 2, most]) expect(() => call(nest(name, good))).not.toThrow();
      for (const bad of [least - 0.5, most + 0.5, NaN, Infinity, -Infinity]) {
        refuses(() => call(nest(name, bad)), 'range', `${must} ${String(bad)}`);
      }
      refuses(() => call(nest(name, 'x')), 'type', `${must} 'x'`);
      refuses(() => call(nest(name, true)), 'type', `${must} true`);
    }
  });

  test.each<[(options: object) => unknown, object, Kind, string]>([
    [
      load,
      { gpuLayers: 'max' },
      'range',
      "gpuLayers must be 'auto', 'all' or an integer from 0 to 2147483647, got 'max'",
    ],
    [load, { gpuLayers: -1 }, 'range', "gpuLayers must be 'auto', 'all' or an integer from 0 to 2147483647, got -1"],
    [load, { gpuLayers: true }, 'type', "gpuLayers must be 'auto', 'all' or an integer from 0 to 2147483647, got true"],
    [load, { contextTokens: NaN }, 'range', "contextTokens must be 'auto' or an integer from 1 to 2147483647, got NaN"],
    [load, { contextTokens: 0 }, 'range', "contextTokens must be 'auto' or an integer from 1 to 2147483647, got 0"],
    [load, { kvLayout: 'x' }, 'range', "kvLayout must be one of 'auto', 'unified', 'streams', got 'x'"],
    [load, { speculation: 'on' }, 'range', "speculation must be one of 'auto', 'off', got 'on'"],
    [load, { kvType: 1 }, 'type', "kvType must be one of 'f16', 'q8_0', 'q4_0', got 1"],
    [
      load,
      { durability: 'sometimes' },
      'range',
      "durability must be one of 'always', 'everysec', 'none', got 'sometimes'",
    ],
    [load, { store: '' }, 'range', "store must be a non-empty string, got ''"],
    [load, { store: 5 }, 'type', 'store must be a directory path or a store, got 5'],
    [load, { store: null }, 'type', 'store must be a directory path or a store, got null'],
    [load, { store: {} }, 'type', 'store.getRecord must be a function, got undefined'],
    [load, { cache: 5 }, 'type', 'cache must be an object, got 5'],
    [load, { cache: [] }, 'type', 'cache must be an object, got []'],
    [load, { cache: { restore: true } }, 'type', "cache.restore must be one of 'auto', 'always', got true"],
    [load, { cache: { restore: 'never' } }, 'range', "cache.restore must be one of 'auto', 'always', got 'never'"],
    [
      load,
      { cache: { diskBytes: 1 } },
      'type',
      'cache.diskBytes goes with a store that is a path; give it to the store itself',
    ],
    [load, { onProgress: 'x' }, 'type', "onProgress must be a function, got 'x'"],
    [load, { signal: {} }, 'type', 'signal must be an AbortSignal, got {}'],
    [load, { signal: null }, 'type', 'signal must be an AbortSignal, got null'],
    [session, { id: '' }, 'range', "id must be a string of 1 to 256 characters, got ''"],
    [session, { id: 7 }, 'type', 'id must be a string of 1 to 256 characters, got 7'],
    [session, { system: {} }, 'type', 'system must be a string, got {}'],
    [session, { messages: 'hi' }, 'type', "messages must be an array, got 'hi'"],
    [
      session,
      { messages: [{ role: 'x', content: '' }] },
      'range',
      "messages[0].role must be one of 'system', 'user', 'assistant', 'tool', got 'x'",
    ],
    [session, { stop: 'END' }, 'type', "stop must be an array, got 'END'"],
    [session, { stop: ['a', ''] }, 'range', "stop[1] must be a string of 1 to 4096 characters, got ''"],
    [session, { stop: [, 'a'] }, 'type', 'stop[0] must be a string of 1 to 4096 characters, got undefined'],
    [turn, { stop: Array.from({ length: 257 }, () => 'a') }, 'range', 'stop must have at most 256 elements, got 257'],
    [session, { metadata: { a: 1 } }, 'type', "metadata['a'] must be a string, got 1"],
    [session, { metadata: 'x' }, 'type', "metadata must be an object, got 'x'"],
    [session, { overflow: 'truncate' }, 'range', "overflow must be one of 'error', 'dropOldest', got 'truncate'"],
    [session, { pinned: 1 }, 'type', 'pinned must be a boolean, got 1'],
    [resume, { pinned: 'no' }, 'type', "pinned must be a boolean, got 'no'"],
    [resume, { takeOver: 1 }, 'type', 'takeOver must be a boolean, got 1'],
    [resume, { ttlMs: 0 }, 'range', 'ttlMs must be an integer from 1 to 3153600000000, got 0'],
    [resume, { id: 'x' }, 'type', "id must be left out: the store has it, got 'x'"],
    [fork, { id: '' }, 'range', "id must be a string of 1 to 256 characters, got ''"],
    [fork, { atMessage: '1' }, 'type', "atMessage must be an integer from 0 to 2147483647, got '1'"],
    [fork, { atMessage: -1 }, 'range', 'atMessage must be an integer from 0 to 2147483647, got -1'],
    [fork, { atMessage: 5 }, 'range', 'options.atMessage must be an integer from 0 to 4, got 5'],
    [turn, { sampling: null }, 'type', 'sampling must be an object, got null'],
    [turn, { sampling: { grammar: 1 } }, 'type', 'sampling.grammar must be a string, got 1'],
    [turn, { sampling: { logitBias: { x: 1 } } }, 'type', "each key of sampling.logitBias must be a token id, got 'x'"],
    [
      turn,
      { sampling: { logitBias: { '-1': 1 } } },
      'type',
      "each key of sampling.logitBias must be a token id, got '-1'",
    ],
    [
      turn,
      { sampling: { logitBias: { 2147483648: 1 } } },
      'type',
      "each key of sampling.logitBias must be a token id, got '2147483648'",
    ],
    [
      turn,
      { sampling: { logitBias: { 3: Infinity } } },
      'range',
      'sampling.logitBias[3] must be a number from -1000000 to 1000000, got Infinity',
    ],
    [turn, { ignoreEog: 1 }, 'type', 'ignoreEog must be a boolean, got 1'],
  ])('%o %j', (call, options, kind, sentence) => {
    refuses(() => call(options), kind, sentence);
  });

  test.each([null, 5, 'x', []])('options that are %j', (options) => {
    for (const call of [load, session, turn, resume, fork]) {
      refuses(
        () => call(options as never),
        'type',
        `options must be an object, got ${options === 'x' ? "'x'" : Array.isArray(options) ? '[]' : String(options)}`,
      );
    }
  });

  test.each<[(options: object) => unknown, object, string]>([
    [load, { maxresident: 1 }, "options has no option 'maxresident'; did you mean 'maxResident'?"],
    [load, { treads: 1 }, "options has no option 'treads'; did you mean 'threads'?"],
    [load, { cache: { ramBites: 1 } }, "cache has no option 'ramBites'; did you mean 'ramBytes'?"],
    [turn, { sampling: { top_k: 1 } }, "sampling has no option 'top_k'; did you mean 'topK'?"],
    [turn, { sampling: { temprature: undefined } }, "sampling has no option 'temprature'; did you mean 'temperature'?"],
    [
      session,
      { timeoutMs: 1 },
      "options has no option 'timeoutMs'; its options are sampling, maxTokens, stop, tools, toolChoice, reasoning, priority, system, ttlMs, overflow, pinned, id, messages, metadata",
    ],
    [session, { takeOver: true }, ''],
    [resume, { takeover: true }, "options has no option 'takeover'; did you mean 'takeOver'?"],
    [fork, { atmessage: 1 }, "options has no option 'atmessage'; did you mean 'atMessage'?"],
    [turn, { ['x'.repeat(1e6)]: 1 }, ''],
    [turn, JSON.parse('{"__proto__":1}') as object, ''],
  ])('unknown names are a TypeError: %#', (call, options, sentence) => {
    if (sentence !== '') refuses(() => call(options), 'type', sentence);
    expect(() => call(options)).toThrow(TypeError);
    expect(() => call(options)).toThrow(/^.{0,400}$/s);
  });

  test('system and a system message exclude each other', () => {
    const messages = [{ role: 'system', content: 'a' }];
    expect(() => session({ system: 'b', messages })).toThrow(TypeError);
    expect(() => session({ messages })).not.toThrow();
    expect(() => session({ system: 'b', messages: [{ role: 'user', content: 'a' }] })).not.toThrow();
  });

  test('a number of messages to keep is one that there is', () => {
    for (const good of [0, 4]) expect(() => checkMessageCount('toMessage', good, 4)).not.toThrow();
    for (const bad of [-1, 5, 0.5, NaN])
      refuses(
        () => checkMessageCount('toMessage', bad, 4),
        'range',
        `toMessage must be an integer from 0 to 4, got ${bad}`,
      );
    refuses(
      () => checkMessageCount('toMessage', undefined, 4),
      'type',
      'toMessage must be an integer from 0 to 4, got undefined',
    );
    for (const good of [undefined, {}, { atMessage: 4 }, { id: 'x', atMessage: 0 }])
      expect(() => checkForkOptions(good, 4)).not.toThrow();
  });

  test('checkId', () => {
    for (const good of ['a', '../../x', '\0', 'é'.repeat(256), '😀'])
      expect(() => {
        checkId(good);
      }).not.toThrow();
    refuses(
      () => {
        checkId('x'.repeat(257));
      },
      'range',
      `id must be a string of 1 to 256 characters, got '${'x'.repeat(40)}'... 217 more characters`,
    );
    expect(() => {
      checkId('a\ud800');
    }).toThrow(/^id must be well-formed Unicode, got /);
    refuses(
      () => {
        checkId(undefined);
      },
      'type',
      'id must be a string of 1 to 256 characters, got undefined',
    );
  });
});

function nest(path: string, value: unknown): object {
  return path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as object;
}
