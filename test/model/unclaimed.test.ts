/** A store of a user's that knows nothing of claims: nobody can tell which of its sessions another process has open. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MemoryStore, type Model, type Session, type SessionStore } from '../../lib/index.js';
import { typedStore } from '../../lib/stores/typed.js';
import { refusal } from '../support/deadline.js';
import { folder, loadRecall, says, speaking } from '../support/models.js';
import { holdTime } from '../support/time.js';
import { tick } from '../support/turns.js';

const GREEDY = { sampling: { temperature: 0 } };
const MINUTE = 60_000;

/** It shares what `base` keeps with others that are made so. */
function claimless(base: MemoryStore): SessionStore {
  const { claim: _claim, release: _release, ...store } = typedStore(base);
  return store;
}

const mortal = async (model: Model): Promise<Session> => {
  const session = await model.createSession({ id: 'one', ttlMs: 5000, ...GREEDY });
  await session.send('My name is Mosoba.');
  return session;
};

test.each(['is swept', 'is asked for'])(
  'a turn that is longer than the life of its session is not lost when that %s elsewhere',
  async (how) => {
    const time = holdTime();
    const base = new MemoryStore();
    // As two processes would have it.
    const [here, there] = [await loadRecall({ store: claimless(base) }), await loadRecall({ store: claimless(base) })];
    const session = await mortal(here);
    const { turn } = await speaking(here, session);
    time.pass(how === 'is swept' ? MINUTE + 1000 : 6000);
    if (how !== 'is swept')
      expect(await refusal('resuming', () => there.resumeSession('one'))).toMatchObject({ code: 'SESSION_NOT_FOUND' });
    for (let i = 0; i < 10; i++) await tick();
    turn.cancel();
    expect((await turn).finishReason).toBe('cancelled');
    expect((await base.getRecord('one'))?.version).toBe(2);
    expect((await there.resumeSession('one')).messages).toHaveLength(4);
  },
);

test.each<[string, (model: Model, file: string) => Promise<Session>]>([
  ['createSession()', (model) => model.createSession({ id: 'one', ...GREEDY })],
  ['importSession()', (model, file) => model.importSession(file, { id: 'one' })],
  ['fork()', async (model) => (await model.createSession(GREEDY)).fork({ id: 'one' })],
])('the id of an expired session is free for %s', async (_, make) => {
  const time = holdTime();
  const store = claimless(new MemoryStore());
  const model = await loadRecall({ store });
  const session = await mortal(model);
  const file = join(await folder(), 'session.lls');
  await session.export(file);
  await session.close();
  time.pass(6000);
  const again = await make(model, file);
  await again.send('My code is 3299.');
  expect(await says(again, 'What is my code?')).toBe('Your code is 3299.');
});
