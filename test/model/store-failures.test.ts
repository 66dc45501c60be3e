import { expect, test } from 'vitest';
import { LlamaError } from '../../lib/errors.js';
import { loadModel, MemoryStore } from '../../lib/index.js';
import type { PutRecordOptions } from '../../lib/stores/store.js';
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
