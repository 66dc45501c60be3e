import { describe, expect, test } from 'vitest';
import {
  resolveLoadOptions,
  resolveResumeOptions,
  resolveSampling,
  resolveSessionOptions,
  resolveTurnOptions,
} from '../../lib/options.js';
import { MemoryStore } from '../../lib/stores/memory.js';

const plain = resolveSessionOptions().settings;

describe('defaults', () => {
  test('of a load', () => {
    expect(resolveLoadOptions()).toEqual({
      gpuLayers: 'auto',
      contextTokens: 0,
      maxResident: 32,
      batchTokens: 512,
      threads: 0,
      unified: true,
      kvType: 'f16',
      speculation: true,
      durability: 'always',
      ramBytes: 2 ** 30,
      pageTokens: 256,
      alwaysRestore: false,
      idleMs: 60_000,
      maxQueued: 1024,
    });
  });

  test('of a session: a fresh id each time, settings as given', () => {
    const one = resolveSessionOptions();
    expect(one).toMatchObject({ messages: [], metadata: {} });
    expect(one.settings).toEqual({ sampling: {}, stop: [], priority: 0, pinned: false, overflow: 'error' });
    expect(one.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(resolveSessionOptions().id).not.toBe(one.id);
  });

  test('of a turn', () => {
    const { sampling, ...rest } = resolveTurnOptions(plain);
    const reply = { tools: '', toolChoice: 'auto', reasoning: true, jsonSchema: '' };
    expect(rest).toEqual({ stop: [], reply, priority: 0, ignoreEog: false });
    expect(sampling).toMatchObject({
      temperature: 0.8,
      topK: 40,
      topP: 0.95,
      minP: 0.05,
      repeatPenalty: 1,
      grammar: '',
    });
    expect(sampling).toMatchObject({ frequencyPenalty: 0, presencePenalty: 0 });
    expect(sampling.biasTokens).toEqual(new Int32Array());
    expect(sampling.biasValues).toEqual(new Float64Array());
  });

  test('the seed is another one each time, 32 bits', () => {
    const seeds = Array.from({ length: 20 }, () => resolveSampling().seed);
    expect(new Set(seeds).size).toBeGreaterThan(15);
    for (const seed of seeds) expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32).toBe(true);
    expect(Math.max(...seeds)).toBeGreaterThan(2 ** 28);
  });

  test('undefined is as good as absent, everywhere', () => {
    const cache = { ramBytes: undefined, diskBytes: undefined, pageTokens: undefined, restore: undefined };
    const nothing = { maxResident: undefined, store: undefined, signal: undefined, cache };
    expect(resolveLoadOptions(nothing as object)).toStrictEqual(resolveLoadOptions());
    expect(
      resolveTurnOptions(plain, { sampling: { topK: undefined }, maxTokens: undefined, stop: undefined } as object),
    ).toEqual({
      ...resolveTurnOptions(plain),
      sampling: expect.objectContaining({ topK: 40 }) as unknown,
    });
    const sampled = resolveSessionOptions({ sampling: { topK: 7 } }).settings;
    expect(resolveTurnOptions(sampled, { sampling: { topK: undefined } } as object).sampling.topK).toBe(7);
  });
});

describe('what was given arrives', () => {
  test('in a load', () => {
    const store = new MemoryStore();
    const { signal } = new AbortController();
    const onProgress = (): void => undefined;
    const all = {
      gpuLayers: 12,
      contextTokens: 4096,
      maxResident: 256,
      batchTokens: 1,
      threads: 3,
      kvLayout: 'streams',
      kvType: 'q8_0',
      speculation: 'off',
      store,
      durability: 'none',
      cache: { ramBytes: 0, pageTokens: 64, restore: 'always', idleMs: 0 },
      maxQueued: 1,
      onProgress,
      signal,
    } as const;
    const { cache, kvLayout: _layout, ...same } = all;
    const { restore: _restore, ...budgets } = cache;
    expect(resolveLoadOptions(all)).toEqual({
      ...same,
      ...budgets,
      alwaysRestore: true,
      unified: false,
      speculation: false,
    });
    expect(resolveLoadOptions({ speculation: 'auto' }).speculation).toBe(true);
    expect(resolveLoadOptions({ cache: { restore: 'auto' } }).alwaysRestore).toBe(false);
    expect(resolveLoadOptions({ store: '/tmp/x', cache: { diskBytes: 0 } }).diskBytes).toBe(0);
    expect(resolveLoadOptions({ kvLayout: 'unified', store: '/tmp/x' })).toMatchObject({
      unified: true,
      store: '/tmp/x',
    });
    expect(resolveLoadOptions({ gpuLayers: 'all' }).gpuLayers).toBe('all');
  });

  test('in a session, as copies', () => {
    const given = {
      id: 'alice',
      system: 'Be brief.',
      messages: [{ role: 'user' as const, content: 'hi' }],
      sampling: { topK: 1, logitBias: { 5: -100 }, jsonSchema: { enum: ['a'] } },
      maxTokens: 10,
      stop: ['END'],
      tools: [{ type: 'function' as const, function: { name: 'f', parameters: { required: ['a'] } } }],
      toolChoice: 'none' as const,
      reasoning: 'off' as const,
      ttlMs: 1000,
      metadata: { a: 'b' },
      priority: -2.5,
      pinned: true,
      overflow: 'dropOldest' as const,
    };
    const resolved = resolveSessionOptions(given);
    const { id, messages, metadata, ...settings } = structuredClone(given);
    expect(resolved).toEqual({ id, messages, metadata, settings });
    given.messages[0]!.content = 'changed';
    given.sampling.logitBias[5] = 1;
    given.sampling.jsonSchema.enum.push('b');
    given.tools[0]!.function.parameters.required.push('b');
    given.stop.push('more');
    given.metadata.a = 'changed';
    expect(resolved).toEqual({ id, messages, metadata, settings });
  });

  test('a turn is laid over its session, sampling name by name', () => {
    const { settings } = resolveSessionOptions({
      sampling: { temperature: 0, topK: 5 },
      maxTokens: 10,
      stop: ['A'],
      priority: 3,
    });
    expect(resolveTurnOptions(settings)).toMatchObject({ maxTokens: 10, stop: ['A'], priority: 3 });
    const { signal } = new AbortController();
    const own = {
      sampling: { topK: 6, seed: 1 },
      maxTokens: 2,
      stop: [],
      priority: 0,
      ignoreEog: true,
      signal,
      timeoutMs: 9,
    };
    const resolved = resolveTurnOptions(settings, own);
    expect(resolved).toMatchObject({ maxTokens: 2, stop: [], priority: 0, ignoreEog: true, signal, timeoutMs: 9 });
    expect(resolved.sampling).toMatchObject({ temperature: 0, topK: 6, seed: 1 });
    resolveTurnOptions(settings).stop.push('B');
    expect(settings.stop).toEqual(['A']);
  });

  test('logit biases as two arrays in one order', () => {
    const { biasTokens, biasValues } = resolveSampling({ logitBias: { 7: -100, 2: 1.5, 2147483647: 0 } });
    expect([...biasTokens]).toEqual([2, 7, 2147483647]);
    expect([...biasValues]).toEqual([1.5, -100, 0]);
  });

  test('a resumed session keeps what is stored but for what is given', () => {
    const given = { system: 'S', sampling: { topK: 1 }, ttlMs: 5, pinned: true, overflow: 'dropOldest' } as const;
    const stored = resolveSessionOptions({ ...given, metadata: { a: 'b' } });
    expect(resolveResumeOptions(stored)).toEqual({ settings: stored.settings, metadata: { a: 'b' } });
    const resumed = resolveResumeOptions(stored, { ttlMs: 6, sampling: { minP: 1 }, pinned: false, metadata: {} });
    expect(resumed).toEqual({
      settings: { ...stored.settings, ttlMs: 6, sampling: { minP: 1 }, pinned: false },
      metadata: {},
    });
    // It says how to open it, not what it is.
    expect(resolveResumeOptions(stored, { takeOver: true })).toEqual(resolveResumeOptions(stored));
    expect(() => resolveResumeOptions(stored, { id: 'x' })).toThrow(
      new TypeError("id must be left out: the store has it, got 'x'"),
    );
    expect(() => resolveResumeOptions(stored, { messages: [] })).toThrow(
      new TypeError('messages must be left out: the store has it, got []'),
    );
  });
});
