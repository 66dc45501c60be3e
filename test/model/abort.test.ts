/** Ending a turn with an error before its time, at every stage: by signal or by timeout. */
import { getEventListeners } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { AbortError, LlamaError, loadModel } from '../../lib/index.js';
import type { Model, Session } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { isUntouched, keptInterrupted, talksOn } from '../support/ended.js';
import { loadRecall, LONG, prefilling, promptOf, speaking } from '../support/models.js';
import { RECALL } from '../support/recall.js';

const greedy = { sampling: { temperature: 0 } };
let model: Model;
let session: Session;
beforeEach(async () => {
  // One place on the device: a second session's turn waits. A token per step: prompts take long enough to be caught in them.
  model = await loadRecall({ maxResident: 1, batchTokens: 1 });
  session = await model.createSession();
});

/** The AbortError of a turn, checked in all its fields. */
async function aborted(what: string, turn: PromiseLike<unknown>, reason: unknown): Promise<AbortError> {
  const error = await refusal(what, () => turn);
  expect(error).toBeInstanceOf(LlamaError);
  expect(error).toMatchObject({ name: 'AbortError', code: 'ABORTED' });
  expect(error.cause).toBe(reason);
  if (!(error instanceof AbortError)) throw error;
  return error;
}

/** What Node warns of from here on. */
function warningsOf(): string[] {
  const warnings: string[] = [];
  const listen = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', listen);
  onTestFinished(() => void process.off('warning', listen));
  return warnings;
}

describe('a signal', () => {
  let controller: AbortController;
  const reason = { why: 'the user left' };
  const listeners = (): number => getEventListeners(controller.signal, 'abort').length;
  beforeEach(() => {
    controller = new AbortController();
  });

  test('aborted before', async () => {
    controller.abort(reason);
    const error = await aborted('the turn', session.send('Hello', { signal: controller.signal }), reason);
    expect(error.partial).toBe('');
    expect(listeners()).toBe(0);
    await isUntouched(session);
  });

  test('in the tick of send()', async () => {
    const turn = session.send('Hello', { signal: controller.signal });
    controller.abort(reason);
    await aborted('the turn', turn, reason);
    expect(listeners()).toBe(0);
    await isUntouched(session);
  });

  test('with the default reason, a DOMException', async () => {
    const turn = session.send('Hello', { signal: controller.signal });
    controller.abort();
    await aborted('the turn', turn, controller.signal.reason);
  });

  test('while queued behind another session', async () => {
    const other = await model.createSession();
    const { turn: running } = await speaking(model, other);
    const turn = session.send('Hello', { signal: controller.signal });
    expect(session.state).toBe('queued');
    expect(model.stats().queuedTurns).toBe(1);
    controller.abort(reason);
    expect(session.state).toBe('idle');
    expect(model.stats().queuedTurns).toBe(0);
    await aborted('the turn', turn, reason);
    expect(listeners()).toBe(0);
    running.cancel();
    await within('the other turn', running);
    await isUntouched(session);
  });

  test('while queued behind its own session', async () => {
    const { turn: running } = await speaking(model, session);
    const turn = session.send('Hello', { signal: controller.signal });
    controller.abort(reason);
    await aborted('the turn', turn, reason);
    expect(session.state).toBe('running');
    running.cancel();
    keptInterrupted(session, (await running).text);
    await talksOn(session);
  });

  test('in prefill', async () => {
    const { turn } = await prefilling(model, session, { signal: controller.signal });
    controller.abort(reason);
    const error = await aborted('the turn', turn, reason);
    expect(error.partial).toBe('');
    expect(listeners()).toBe(0);
    expect(model.stats().prefilledTokens).toBeLessThan(1900);
    await isUntouched(session);
  });

  test('in the prefill of a message', async () => {
    const turn = session.send('Repeat after me: ' + 'shai brot '.repeat(180), { signal: controller.signal });
    await until('the prefill', () => (model.stats().prefilledTokens ?? 0) > 5);
    controller.abort(reason);
    await aborted('the turn', turn, reason);
    await isUntouched(session);
  });

  test('while it generates', async () => {
    const { turn } = await speaking(model, session, { signal: controller.signal });
    controller.abort(reason);
    const error = await aborted('the turn', turn, reason);
    expect(error.partial).toMatch(/^Once there was/);
    expect(listeners()).toBe(0);
    keptInterrupted(session, error.partial);
    await talksOn(session);
  });

  test('while it is iterated: the pieces so far, then the error', async () => {
    const turn = session.send('Tell me a story.', { ...LONG, signal: controller.signal });
    let text = '';
    const read = async (): Promise<void> => {
      for await (const piece of turn) {
        text += piece.text;
        if (text.length > 20) controller.abort(reason);
      }
    };
    const error = await aborted('the loop', read(), reason);
    expect(text).toBe(error.partial);
    expect(await refusal('the reply', () => turn)).toBe(error);
  });

  test('after the end', async () => {
    const turn = session.send('Count from 3 to 9.', { ...greedy, signal: controller.signal });
    expect((await within('the turn', turn)).text).toBe('3 4 5 6 7 8 9');
    expect(listeners()).toBe(0);
    controller.abort(reason);
    expect((await turn).text).toBe('3 4 5 6 7 8 9');
    expect(session.messages).toHaveLength(2);
  });

  test('one for fifty turns', async () => {
    const warnings = warningsOf();
    const sessions = await Promise.all(Array.from({ length: 50 }, () => model.createSession()));
    const turns = sessions.map((each) => each.send('Tell me a story.', { ...LONG, signal: controller.signal }));
    await until('the first words', () => (model.stats().generatedTokens ?? 0) > 5);
    expect(listeners()).toBe(1);
    controller.abort(reason);
    for (const turn of turns) await aborted('one of fifty', turn, reason);
    expect(listeners()).toBe(0);
    expect(warnings).toEqual([]); // Node's at the eleventh listener
    await isUntouched(session);
  });

  test('the error event tells the same error as the promise', async () => {
    const told: Error[] = [];
    session.on('error', (error) => told.push(error));
    const { turn } = await speaking(model, session, { signal: controller.signal });
    controller.abort(reason);
    expect(told).toEqual([]);
    const error = await aborted('the turn', turn, reason);
    expect(told).toHaveLength(1);
    expect(told[0]).toBe(error);
  });

  test('AbortSignal.timeout() and any()', async () => {
    const signal = AbortSignal.any([AbortSignal.timeout(50), controller.signal]);
    const error = await refusal('the turn', () => session.send('Tell me a story.', { ...LONG, signal }));
    expect(error).toMatchObject({ name: 'AbortError', code: 'ABORTED', cause: { name: 'TimeoutError' } });
    expect(error.cause).toBe(signal.reason);
  });
});

describe('a signal for the load', () => {
  const reason = new Error('changed my mind');

  test('aborted before', async () => {
    const error = await aborted(
      'the load',
      loadModel(RECALL, { threads: 1, signal: AbortSignal.abort(reason) }),
      reason,
    );
    expect(error.partial).toBe('');
  });

  test.each([0, 1, 5])('at the progress report number %i', async (number) => {
    const controller = new AbortController();
    let reports = 0;
    const onProgress = (): void => {
      if (reports++ === number) controller.abort(reason);
    };
    await aborted(
      'the load',
      loadModel(RECALL, { threads: 1, contextTokens: 512, signal: controller.signal, onProgress }),
      reason,
    );
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  test('at any moment: an AbortError, or a model that works', async () => {
    for (let ms = 0; ms < 40; ms += 2) {
      const controller = new AbortController();
      const loading = loadModel(RECALL, { threads: 1, contextTokens: 8192, signal: controller.signal });
      setTimeout(() => {
        controller.abort(reason);
      }, ms);
      const [result] = await within('the load', Promise.allSettled([loading]));
      if (result.status === 'rejected') {
        expect(result.reason).toBeInstanceOf(AbortError);
        continue;
      }
      const loaded = result.value;
      const talk = await loaded.createSession();
      expect((await within('a turn', talk.send('Count from 3 to 9.', greedy))).text).toBe('3 4 5 6 7 8 9');
      await loaded.close();
    }
  });

  test('after the load it means nothing', async () => {
    const controller = new AbortController();
    const loaded = await loadRecall({ signal: controller.signal });
    controller.abort(reason);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    expect((await (await loaded.createSession()).send('Count from 3 to 9.', greedy)).text).toBe('3 4 5 6 7 8 9');
  });
});

describe('timeoutMs', () => {
  test('while it generates: TIMEOUT, and what was said stays', async () => {
    const error = await refusal('the turn', () => session.send('Tell me a story.', { ...LONG, timeoutMs: 150 }));
    expect(error).toMatchObject({ name: 'LlamaError', code: 'TIMEOUT' });
    expect(error).not.toBeInstanceOf(AbortError);
    const [, reply] = session.messages;
    expect(reply).toMatchObject({ role: 'assistant', interrupted: true });
    expect(reply?.content).not.toBe('');
    await talksOn(session);
  });

  test('while queued and in prefill', async () => {
    const other = await model.createSession();
    const { turn: running } = await speaking(model, other);
    expect(await refusal('queued', () => session.send('Hello', { timeoutMs: 30 }))).toMatchObject({ code: 'TIMEOUT' });
    running.cancel();
    await running;
    expect(await refusal('in prefill', () => session.complete(promptOf(1900), { timeoutMs: 60 }))).toMatchObject({
      code: 'TIMEOUT',
    });
    await isUntouched(session);
  });

  test('no timer stays behind', async () => {
    const reply = await within('the turn', session.send('Count from 3 to 9.', { ...greedy, timeoutMs: 1000 }));
    await pause(1100);
    expect(reply.finishReason).toBe('stop');
    await talksOn(session);
  });
});

test('a turn that fails unwatched raises no unhandled rejection', async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', listen);
  session.send('Hello', { signal: AbortSignal.abort() });
  session.send('Hello '.repeat(5000));
  await until('both failed', () => model.stats().failedTurns === 2);
  await pause(20);
  process.off('unhandledRejection', listen);
  expect(unhandled).toEqual([]);
});
