import { describe, expect, test } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import { loadModel, MemoryStore } from '../../lib/index.js';
import type { PutRecordOptions } from '../../lib/stores/store.js';
import { until, within } from '../support/deadline.js';
import { Gate } from '../support/gate.js';
import { RECALL } from '../support/recall.js';

/** Fails as told: before the write has arrived, or after. */
class FlakyStore extends MemoryStore {
  fail: 'before' | 'after' | undefined;

  override async putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number> {
    const { fail } = this;
    this.fail = undefined;
    if (fail === 'before') throw new LlamaError('STORE_FAILED', 'The disk is full; free some space.');
    const version = await super.putRecord(id, bytes, options);
    if (fail === 'after') throw new LlamaError('STORE_FAILED', 'The connection was lost; try again.');
    return version;
  }
}

test.each(['before', 'after'] as const)(
  'a write that fails %s it arrives rejects the turn, and the next one keeps both',
  async (when) => {
    const store = new FlakyStore();
    const model = await loadModel(RECALL, { threads: 1, store });
    const session = await model.createSession({ id: 'ann', sampling: { temperature: 0 } });
    await session.send('My name is Mosoba.');
    store.fail = when;
    await expect(session.send('My code is 3299.')).rejects.toMatchObject({ code: 'STORE_FAILED' });
    // The conversation goes on in memory.
    expect((await session.send('What is my code?')).text).toBe('Your code is 3299.');
    await session.close();
    expect((await model.resumeSession('ann')).messages).toHaveLength(6);
    await model.close();
  },
);

describe('a store that does not answer', () => {
  class SlowStore extends MemoryStore {
    readonly writes = new Gate();

    override async putRecord(id: string, bytes: Uint8Array, options: PutRecordOptions): Promise<number> {
      await this.writes.pass();
      return super.putRecord(id, bytes, options);
    }
  }

  test.each([
    ['timeoutMs', 'TIMEOUT'],
    ['signal', 'ABORTED'],
  ])('keeps no turn longer than its %s, and the reply stays', async (how, code) => {
    const store = new SlowStore();
    const model = await loadModel(RECALL, { threads: 1, store });
    const session = await model.createSession({ id: 'ann', sampling: { temperature: 0 } });
    store.writes.close();
    const controller = new AbortController();
    const turn = session.send('My name is Mosoba.', {
      signal: controller.signal,
      ...(how === 'timeoutMs' && { timeoutMs: 1000 }),
    });
    const ended = turn.then(
      () => 'resolved',
      (error: unknown) => (error as LlamaError).code,
    );
    await until('the record is being written', () => store.writes.waiting === 1);
    if (how === 'signal') controller.abort();
    expect(await within('the turn', ended)).toBe(code);
    // What the session is asked for next waits, and nothing was lost.
    const next = session.send('What is my name?');
    expect(session.state).toBe('queued');
    store.writes.open();
    expect((await next).text).toBe('Your name is Mosoba.');
    await session.close();
    expect((await model.resumeSession('ann')).messages).toHaveLength(4);
    await model.close();
  });
});
