import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { Engine } from '../../lib/engine.js';
import { loadModel, type Model, type Session } from '../../lib/index.js';
import { codeOf, NAMES, RECALL } from '../support/recall.js';

const LOAD = { maxResident: 16, threads: 1, cache: { restore: 'always' as const } };
const GREEDY = { sampling: { temperature: 0 } };
const id = (index: number): string => `visitor ${String(index)}`;

let folder: string | undefined;
afterEach(async () => {
  vi.restoreAllMocks();
  if (folder !== undefined) await rm(folder, { recursive: true });
  folder = undefined;
});

/** All at once, so that turns of different sessions share steps and sessions push each other off the device. */
async function tellAll(model: Model): Promise<Session[]> {
  return Promise.all(
    NAMES.map(async (name, index) => {
      const session = await model.createSession({ id: id(index), ...GREEDY });
      await session.send(`My name is ${name}.`);
      await session.send(`My code is ${codeOf(index)}.`);
      return session;
    }),
  );
}

/** How many sessions answer both questions with their own facts. */
async function countRight(sessions: readonly Session[]): Promise<number> {
  const right = await Promise.all(
    sessions.map(async (session, index) => {
      const name = await session.send('What is my name?');
      const code = await session.send('What is my code?');
      return name.text === `Your name is ${NAMES[index] ?? ''}.` && code.text === `Your code is ${codeOf(index)}.`;
    }),
  );
  return right.filter(Boolean).length;
}

test('64 sessions on 16 sequences recall their own name and number', async () => {
  const model = await loadModel(RECALL, LOAD);
  expect(await countRight(await tellAll(model))).toBe(64);
  // Without these the test would say nothing about KV that moves.
  expect(model.stats()['ramRestores']).toBeGreaterThan(64);
  expect(model.stats()['kvMisses']).toBe(0);
  await model.close();
});

test('64 sessions recall their own name and number after a restart, from the KV that was saved', async () => {
  folder = await mkdtemp(join(tmpdir(), 'llama-sessions-'));
  const before = await loadModel(RECALL, { ...LOAD, store: folder });
  for (const session of await tellAll(before)) await session.save();
  await before.close();

  const after = await loadModel(RECALL, { ...LOAD, store: folder });
  const sessions = await Promise.all(NAMES.map((_, index) => after.resumeSession(id(index))));
  const first = await (sessions[0] as Session).send('What is my name?');
  expect(first.usage.cachedTokens).toBeGreaterThan(40);
  expect(first.usage.promptTokens - first.usage.cachedTokens).toBeLessThan(20);
  expect(await countRight(sessions)).toBe(64);
  expect(after.stats()['storeRestores']).toBe(64);
  await after.close();
});

test('the test above fails when two sequences are swapped', async () => {
  // Sessions with equally long KV get each other's: what every check of counts, positions and tokens would let pass.
  const original = Object.getOwnPropertyDescriptor(Engine.prototype, 'importKv')?.value as Engine['importKv'];
  const byLength = new Map<number, Uint8Array>();
  let swaps = 0;
  vi.spyOn(Engine.prototype, 'importKv').mockImplementation(function (
    this: Engine,
    sequence,
    from,
    tokens,
    bytes,
    trusted,
  ) {
    const other = byLength.get(tokens.length) ?? bytes;
    byLength.set(tokens.length, bytes);
    if (other !== bytes) swaps++;
    return original.call(this, sequence, from, tokens, other, trusted);
  });
  const model = await loadModel(RECALL, LOAD);
  const right = await countRight(await tellAll(model));
  expect(swaps).toBeGreaterThan(0);
  expect(right).toBeLessThan(64);
  await model.close();
});
