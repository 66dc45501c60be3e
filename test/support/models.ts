/** Models, turns and folders for tests of one process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { loadModel } from '../../lib/index.js';
import type { LoadOptions, Model, Session, Turn, TurnOptions } from '../../lib/index.js';
import { until, within } from './deadline.js';
import { RECALL } from './recall.js';

/**
 * The recall model on one thread, as the machine may be busy, and without speculation, as long turns are to take long; closed
 * after the test.
 */
export async function loadRecall(options: LoadOptions = {}, path: string = RECALL): Promise<Model> {
  const model = await within(
    'loadModel',
    loadModel(path, { threads: 1, contextTokens: 8192, maxResident: 4, speculation: 'off', ...options }),
  );
  // What it rejects with is the test's affair; here it only must not hang.
  onTestFinished(() =>
    within(
      'close() after the test',
      model.close().catch(() => undefined),
    ),
  );
  return model;
}

/** A folder that goes with the test. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'model-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** What it answers. */
export async function says(session: Session, text: string): Promise<string> {
  return (await session.send(text)).text;
}

/** About a second and a half of generating, unless somebody ends it. */
export const LONG: TurnOptions = { ignoreEog: true, maxTokens: 1900, sampling: { temperature: 0 } };

/** A few words. */
export const SHORT: TurnOptions = { maxTokens: 4, sampling: { temperature: 0 } };

/** A prompt of so many tokens that needs no tokeniser; with `batchTokens: 1`, 1900 of them take more than a second. */
export function promptOf(tokens: number): number[] {
  return Array.from({ length: tokens }, (_, i) => 300 + (i % 500));
}

/** A turn that has begun to speak. In an object: an async function that returned the turn would return its reply. */
export async function speaking(model: Model, session: Session, options: TurnOptions = {}): Promise<{ turn: Turn }> {
  const before = model.stats().generatedTokens ?? 0;
  const turn = session.send('Tell me a story.', { ...LONG, ...options });
  await until('the first words', () => (model.stats().generatedTokens ?? 0) > before + 5);
  return { turn };
}

/** A turn in the middle of its prompt. The model must have been loaded with `batchTokens: 1`. */
export async function prefilling(model: Model, session: Session, options: TurnOptions = {}): Promise<{ turn: Turn }> {
  const before = model.stats().prefilledTokens ?? 0;
  const turn = session.complete(promptOf(1900), { maxTokens: 10, ...options });
  await until('the first tokens of the prompt', () => (model.stats().prefilledTokens ?? 0) > before + 5);
  return { turn };
}
