/** Values that every option must refuse. */
import { expect } from 'vitest';
import { refusal } from './deadline.js';

/** Wrong types, then values out of range, of one option. */
export interface Wrong {
  types: readonly unknown[];
  values?: readonly unknown[];
}

const notNumbers = [null, '1', true, {}, [], 1n, () => 1, Symbol('1')];
export const notTexts = [null, 1, true, {}, [], Symbol('text')];
export const notObjects = [null, 1, 'text', true, [], new Map([['topK', 1]]), new Date()];
export const notLists = [null, 1, 'text', {}, new Set()];
export const whole = (...values: unknown[]): Wrong => ({
  types: notNumbers,
  values: [NaN, Infinity, -Infinity, 0.5, -1, ...values],
});
const real = (...values: unknown[]): Wrong => ({ types: notNumbers, values: [NaN, Infinity, -Infinity, ...values] });
export const choice: Wrong = { types: [null, 1, {}, []], values: ['', 'no', 'toString'] };
const autoOr = (...values: unknown[]): Wrong => ({
  types: [null, true, {}, []],
  values: ['', 'AUTO', '1', NaN, 0.5, -1, ...values],
});
export const flag: Wrong = { types: [null, 0, 1, 'true', {}] };
const signal: Wrong = {
  types: [
    null,
    true,
    'signal',
    {},
    new EventTarget(),
    new AbortController(),
    { aborted: false, addEventListener() {} },
  ],
};

export const sampling: Record<string, Wrong> = {
  temperature: real(-0.1, 101),
  topK: whole(2 ** 31),
  topP: real(-0.1, 1.1),
  minP: real(-0.1, 1.1),
  repeatPenalty: real(0, -1, 101),
  frequencyPenalty: real(-101, 101),
  presencePenalty: real(-101, 101),
  seed: whole(2 ** 32),
  grammar: { types: notTexts },
  logitBias: {
    types: [...notObjects, { a: 1 }, { '-1': 1 }, { '01': 1 }, { 1.5: 1 }, { 1: '1' }, { 1: null }],
    values: [{ 1: NaN }, { 1: Infinity }, { 1: 2e6 }],
  },
};
export const messages: Wrong = {
  types: [
    ...notLists,
    [null],
    ['text'],
    [{}],
    [{ role: 'user' }],
    [{ content: 'x' }],
    [{ role: 1, content: 'x' }],
    [{ role: 'user', content: 1 }],
    [{ role: 'user', content: 'x', interrupted: 'yes' }],
    [{ role: 'user', content: 'x', extra: () => 1 }],
    [{ role: 'user', content: 'x', extra: 1n }],
    [{ role: 'user', content: 'x', extra: new Date() }],
    [{ role: 'user', content: 'x', extra: NaN }],
    [, { role: 'user', content: 'x' }],
  ],
  values: [[{ role: 'nobody', content: 'x' }]],
};
const either: Record<string, Wrong> = {
  sampling: { types: notObjects },
  maxTokens: whole(0, 2 ** 31),
  stop: { types: [...notLists, [1], [null]], values: [[''], Array(257).fill('x'), ['x'.repeat(4097)]] },
  priority: real(-1001, 1001),
};
export const load: Record<string, Wrong> = {
  gpuLayers: autoOr(2 ** 31),
  contextTokens: autoOr(0, 2 ** 31, 'all'),
  maxResident: whole(0, 257),
  batchTokens: whole(0, 65_537),
  threads: whole(0, 513),
  kvLayout: choice,
  kvType: choice,
  speculation: choice,
  store: {
    types: [null, 1, true, () => 1, [], {}, { getRecord: 1 }, { getRecord() {}, putRecord() {}, deleteRecord() {} }],
    values: [''],
  },
  durability: choice,
  cache: { types: notObjects },
  encryption: { types: notObjects },
  maxQueued: whole(0, 2 ** 31),
  onProgress: { types: [null, 1, 'text', {}] },
  signal,
};
export const session: Record<string, Wrong> = {
  ...either,
  id: { types: [...notTexts, '\ud800'], values: ['', 'x'.repeat(257)] },
  system: { types: notTexts },
  messages,
  ttlMs: whole(0, 2 ** 53),
  metadata: { types: [...notObjects, { a: 1 }, { a: null }] },
  pinned: flag,
  overflow: choice,
};
export const turn: Record<string, Wrong> = { ...either, ignoreEog: flag, signal, timeoutMs: whole(0, 2 ** 31) };

/** Calls with each wrong value of each option, and with a name that no option has. */
export async function checkOptions(
  table: Record<string, Wrong>,
  call: (options: object) => unknown,
  nest = '',
): Promise<void> {
  const given = (name: string, value: unknown): object =>
    nest === '' ? { [name]: value } : { [nest]: { [name]: value } };
  for (const [name, { types, values = [] }] of Object.entries(table)) {
    for (const [kind, wrongs] of [
      [TypeError, types],
      [RangeError, values],
    ] as const) {
      for (const value of wrongs) {
        const what = `${nest}${nest && '.'}${name}: ${typeof value === 'symbol' ? 'a symbol' : typeof value} ${kind.name}`;
        const error = await refusal(what, () => call(given(name, value)));
        expect(error, `${what}: ${error.message}`).toBeInstanceOf(kind);
        expect(error.message).toContain(name);
      }
    }
  }
  const unknown = await refusal('an unknown option', () => call(given('tmperature', 1)));
  expect(unknown).toBeInstanceOf(TypeError);
  expect(unknown.message).toContain('tmperature');
}
