/** Ending a turn quietly before its time, at every stage: by cancel(), by leaving the loop, by cancelling the stream. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { Engine } from '../../lib/engine.js';
import type { Model, Piece, Session, Turn } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { isUntouched, keptInterrupted, talksOn } from '../support/ended.js';
import { loadRecall, LONG, prefilling, speaking } from '../support/models.js';

const greedy = { sampling: { temperature: 0 } };
let model: Model;
let session: Session;
beforeEach(async () => {
  // One place on the device: a second session's turn waits. A token per step: prompts take long enough to be caught in them.
  model = await loadRecall({ maxResident: 1, batchTokens: 1 });
  session = await model.createSession();
});

describe('cancel()', () => {
  const cancelled = async (turn: Turn): Promise<string> => {
    const reply = await within('the cancelled turn', turn);
    expect(reply.finishReason).toBe('cancelled');
    return reply.text;
  };

  test('in the tick of send()', async () => {
    const turn = session.send('Hello');
    turn.cancel();
    expect(await cancelled(turn)).toBe('');
    await isUntouched(session);
  });

  test('while its prompt is made, which takes seconds for a long text', async () => {
    const prepare = vi.spyOn(Engine.prototype, 'prepareChat').mockReturnValueOnce(new Promise(() => undefined));
    const turn = session.send('Hello');
    await until('it is made', () => prepare.mock.calls.length > 0);
    turn.cancel();
    expect(await cancelled(turn)).toBe('');
    prepare.mockRestore();
    await isUntouched(session);
  });

  test('while queued', async () => {
    const other = await model.createSession();
    const { turn: running } = await speaking(model, other);
    const turn = session.send('Hello');
    turn.cancel();
    expect(await cancelled(turn)).toBe('');
    running.cancel();
    await running;
    await isUntouched(session);
  });

  test('while queued: what the session was asked for after it goes on', async () => {
    const other = await model.createSession();
    const { turn: running } = await speaking(model, other);
    const turn = session.send('Hello');
    const saved = session.save();
    turn.cancel();
    await within('save()', saved);
    expect(other.state).toBe('running'); // nobody waited for it
    running.cancel();
  });

  test('in prefill', async () => {
    const { turn } = await prefilling(model, session);
    turn.cancel();
    expect(await cancelled(turn)).toBe('');
    expect(model.stats().prefilledTokens).toBeLessThan(1900);
    await isUntouched(session);
  });

  test('while it generates, twice', async () => {
    const { turn } = await speaking(model, session);
    turn.cancel();
    turn.cancel();
    const text = await cancelled(turn);
    expect(text).toMatch(/^Once there was/);
    keptInterrupted(session, text);
    turn.cancel();
    await talksOn(session);
  });

  test('of the session: the running turn ends, those that wait go on', async () => {
    session.cancel(); // nothing runs
    const { turn: running } = await speaking(model, session);
    const waiting = session.send('Count from 3 to 9.', greedy);
    session.cancel();
    keptInterrupted(session, await cancelled(running));
    expect((await within('the waiting turn', waiting)).finishReason).toBe('stop');
    expect(session.messages).toHaveLength(4);
  });

  test('of one turn among others in a step', async () => {
    const shared = await loadRecall({ maxResident: 4 });
    const sessions = await Promise.all([1, 2, 3].map(() => shared.createSession()));
    const turns = sessions.map((each) => each.send('Tell me a story.', { ...LONG, maxTokens: 300 }));
    await until('the first words', () => (shared.stats().generatedTokens ?? 0) > 30);
    turns[1]?.cancel();
    const replies = await within('three turns', Promise.all(turns));
    expect(replies.map((reply) => reply.finishReason)).toEqual(['length', 'cancelled', 'length']);
    expect(replies[0]?.text).toBe(replies[2]?.text);
    expect(replies[0]?.text.startsWith(replies[1]?.text ?? '?')).toBe(true);
  });
});

describe('leaving the pieces', () => {
  test('break cancels', async () => {
    const turn = session.send('Tell me a story.', LONG);
    let text = '';
    for await (const piece of turn) {
      text += piece.text;
      if (text.length > 20) break;
    }
    const reply = await within('the reply', turn);
    expect(reply.finishReason).toBe('cancelled');
    expect(reply.text.startsWith(text)).toBe(true);
    keptInterrupted(session, reply.text);
    await talksOn(session);
  });

  test('throwing out of the loop cancels as well', async () => {
    const turn = session.send('Tell me a story.', LONG);
    const mine = new Error('mine');
    const read = async (): Promise<void> => {
      for await (const piece of turn) if (piece.text !== '') throw mine;
    };
    expect(await refusal('the loop', read)).toBe(mine);
    expect((await within('the reply', turn)).finishReason).toBe('cancelled');
  });

  test('cancelling the stream cancels', async () => {
    const turn = session.send('Tell me a story.', LONG);
    const reader = turn.toReadableStream().getReader();
    expect((await within('a piece', reader.read())).value?.text).toBeTypeOf('string');
    await within('the cancel', reader.cancel('enough'));
    const reply = await within('the reply', turn);
    expect(reply.finishReason).toBe('cancelled');
    keptInterrupted(session, reply.text);
    await talksOn(session);
  });

  test('a piped stream whose target fails cancels', async () => {
    const turn = session.send('Tell me a story.', LONG);
    const target = new WritableStream<Piece>({ write: () => Promise.reject(new Error('full')) });
    expect(await refusal('the pipe', () => turn.toReadableStream().pipeTo(target))).toMatchObject({ message: 'full' });
    expect((await within('the reply', turn)).finishReason).toBe('cancelled');
  });

  test('a consumer that never reads costs nothing: the turn ends, the pieces are there', async () => {
    const turn = session.send('Tell me a story.', greedy);
    const reply = await within('the reply', turn);
    let text = '';
    for await (const piece of turn) text += piece.text;
    expect(text).toBe(reply.text);
  });

  test('iterating twice is refused, and harms nothing', async () => {
    const turn = session.send('Count from 3 to 9.', greedy);
    turn[Symbol.asyncIterator]();
    expect(() => turn[Symbol.asyncIterator]()).toThrow(TypeError);
    expect(() => turn.toReadableStream()).toThrow(TypeError);
    expect((await within('the reply', turn)).text).toBe('3 4 5 6 7 8 9');
  });
});
