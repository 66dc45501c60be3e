/** close() at every moment: every promise settles, and what was said is kept. */
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { DirectoryStore, MemoryStore } from '../../lib/index.js';
import type { Model, Session, SessionStore } from '../../lib/index.js';
import { refusal, until, within } from '../support/deadline.js';
import { gateBefore } from '../support/gate.js';
import { folder, loadRecall, LONG, prefilling, promptOf, SHORT, speaking } from '../support/models.js';
import { tick } from '../support/turns.js';

describe('close() of a session', () => {
  let store: MemoryStore;
  let model: Model;
  let session: Session;
  beforeEach(async () => {
    store = new MemoryStore();
    model = await loadRecall({ store, maxResident: 1, batchTokens: 1 });
    session = await model.createSession({ id: 'one' });
  });

  test('while it generates: what was said is kept, marked', async () => {
    const { turn } = await speaking(model, session);
    const waiting = [session.send('Hello'), session.save(), session.park(), session.complete('Once')];
    // save() and park() were asked for before: they are done first. Turns are ended.
    await within('close()', session.close());
    for (const each of [turn, waiting[0], waiting[3]]) {
      expect(await refusal('a turn', () => each)).toMatchObject({ code: 'SESSION_CLOSED' });
    }
    await within('save() and park()', Promise.all([waiting[1], waiting[2]]));
    const again = await model.resumeSession('one');
    expect(again.messages).toMatchObject([
      { role: 'user', content: 'Tell me a story.' },
      { role: 'assistant', interrupted: true },
    ]);
    expect(again.messages[1]?.content).toMatch(/^Once there was/);
    expect(again).not.toBe(session);
  });

  test('in prefill: nothing is left of the turn', async () => {
    const { turn } = await prefilling(model, session);
    await within('close()', session.close());
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'SESSION_CLOSED' });
    expect((await model.resumeSession('one')).messages).toEqual([]);
  });

  test('while it waits for a place', async () => {
    const other = await model.createSession();
    const { turn: running } = await speaking(model, other);
    const turn = session.send('Hello');
    await within('close()', session.close());
    expect(other.state).toBe('running'); // nobody waited for it
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'SESSION_CLOSED' });
    running.cancel();
    await within('the other turn', running);
  });

  test('and resumeSession() in the same tick', async () => {
    const { turn } = await speaking(model, session);
    const closing = session.close();
    const again = await within('resumeSession()', model.resumeSession('one'));
    await within('close()', closing);
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'SESSION_CLOSED' });
    expect(again.state).toBe('idle');
    expect(again.messages).toHaveLength(2);
    await within('a turn', again.send('Hello', SHORT));
  });

  test('and resumeSession() before the store has let go of it: the claim is not lost', async () => {
    const claimed = new Set<string>();
    const claiming = Object.assign(new MemoryStore(), {
      claim: (id: string) => Promise.resolve(void claimed.add(id)),
      release: (id: string) => Promise.resolve(void claimed.delete(id)),
    });
    const releases = gateBefore(claiming, 'release');
    const other = await loadRecall({ store: claiming });
    const closed = await other.createSession({ id: 'two' });
    releases.close();
    const closing = closed.close();
    await until('it is about to let go', () => releases.waiting === 1);
    const resuming = other.resumeSession('two');
    await tick();
    releases.open();
    const again = await within('resumeSession()', resuming);
    await within('close()', closing);
    expect([again.state, claimed.has('two')]).toEqual(['idle', true]);
  });

  test('although the store can not let go of it: it is closed', async () => {
    const release = (): Promise<void> => Promise.reject(new Error('no'));
    const other = await loadRecall({ store: Object.assign(new MemoryStore(), { release }) });
    await within('close()', (await other.createSession({ id: 'two' })).close());
    expect(other.stats().openSessions).toBe(0);
  });

  test('again, from a listener that hears of it: who resumes it has it', async () => {
    const { turn: running } = await speaking(model, await model.createSession());
    const turn = session.send('Hello'); // waits
    let closing: Promise<void> | undefined;
    session.on('error', () => {
      closing = session.close();
    });
    await within('close()', session.close());
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'SESSION_CLOSED' });
    const again = await within('resumeSession()', model.resumeSession('one'));
    await within('close() of the listener', closing ?? Promise.reject(new Error('no error was told')));
    expect(model.getSession('one')).toBe(again);
    running.cancel();
  });

  test('and deleteSession() from a listener that hears of it: nothing stays', async () => {
    let deleting: Promise<boolean> | undefined;
    session.on('state', ({ to }) => {
      if (to === 'closed') deleting = model.deleteSession('one');
    });
    await within('close()', session.close());
    expect(await within('deleteSession()', deleting ?? Promise.resolve(false))).toBe(true);
    await expect(model.resumeSession('one')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  });

  test('from a listener of its own', async () => {
    session.on('turn', () => void session.close());
    await within('the turn', session.send('Hello', SHORT));
    await until('closed', () => model.stats().openSessions === 0);
    expect((await model.resumeSession('one')).messages).toHaveLength(2);
  });
});

describe('close() of a model', () => {
  test('with turns queued, prefilling, generating and saving: every promise settles, what was said is kept', async () => {
    const path = await folder();
    const model = await loadRecall({ store: path, maxResident: 3, contextTokens: 8192, batchTokens: 8 });
    const names = ['speaks', 'reads', 'saves', ...Array.from({ length: 10 }, (_, i) => `waits${String(i)}`)];
    const sessions = await Promise.all(names.map((id) => model.createSession({ id })));
    const [speaks, reads, saves, ...rest] = sessions as [Session, Session, Session, ...Session[]];
    await within('something to save', saves.complete(promptOf(1000), { maxTokens: 1 }));
    const { turn } = await speaking(model, speaks);
    const refused = [
      turn,
      reads.complete(promptOf(1900), LONG),
      ...rest.map((each) => each.send('Tell me a story.', LONG)),
      speaks.send('Hello'),
    ];
    const either = Promise.allSettled([
      saves.save(),
      saves.export(join(path, 'export')),
      saves.park(),
      speaks.save(),
      rest[0]?.park(),
      model.createSession({ id: 'late' }),
      model.deleteSession('waits9'),
    ]);
    await until('a step', () => (model.stats().generatedTokens ?? 0) > 10);

    await within('close()', model.close());
    for (const [i, each] of refused.entries()) {
      // The one that deleteSession() has ended may have been told that instead.
      const codes = i === refused.length - 2 ? ['MODEL_CLOSED', 'SESSION_CLOSED'] : ['MODEL_CLOSED'];
      expect(codes, `turn ${String(i)}`).toContain((await refusal(`turn ${String(i)}`, () => each)).code);
    }
    for (const result of await within('the rest', either)) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'MODEL_CLOSED' });
    }
    for (const session of sessions) expect(session.state).toBe('closed');

    const again = await loadRecall({ store: path });
    const kept = await again.resumeSession('speaks');
    expect(kept.messages).toMatchObject([{ role: 'user' }, { role: 'assistant', interrupted: true }]);
    expect(kept.messages[1]?.content).toMatch(/^Once there was/);
    // The first that waited may have had the place of the one that was parked; the others can't have said anything.
    for (let i = 1; i < 9; i++) expect((await again.resumeSession(`waits${String(i)}`)).messages).toEqual([]);
    await within('a turn', kept.send('Hello', SHORT));
  });

  test('again, from listeners that hear of it: all have the same closing', async () => {
    const model = await loadRecall({ maxResident: 1 });
    await speaking(model, await model.createSession());
    const closings: Promise<void>[] = [];
    for (let i = 0; i < 3; i++) {
      const session = await model.createSession();
      session.on('error', () => closings.push(model.close()));
      session.send('Hello'); // waits
    }
    closings.push(model.close());
    await within('close()', Promise.all(closings));
    expect([closings.length, new Set(closings).size]).toEqual([4, 1]);
  });

  test('in the tick of send()', async () => {
    const model = await loadRecall();
    const session = await model.createSession();
    const turn = session.send('Hello');
    await within('close()', model.close());
    expect(await refusal('the turn', () => turn)).toMatchObject({ code: 'MODEL_CLOSED' });
  });

  test('at any moment of a conversation', async () => {
    for (let ms = 0; ms < 30; ms += 3) {
      const model = await loadRecall({ maxResident: 2 });
      const sessions = await Promise.all([1, 2, 3, 4].map(() => model.createSession()));
      const work = sessions.flatMap((session) => [
        session.send('Count from 3 to 9.'),
        session.save(),
        session.park(),
        session.send('Hello'),
      ]);
      const settled = Promise.allSettled(work);
      await new Promise((resolve) => setTimeout(resolve, ms));
      await within(`close() after ${String(ms)} ms`, model.close());
      for (const result of await within(`all after ${String(ms)} ms`, settled)) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'MODEL_CLOSED' });
      }
    }
  });

  test('while somebody iterates: the pieces so far, then the error', async () => {
    const model = await loadRecall();
    const turn = (await model.createSession()).send('Tell me a story.', LONG);
    let text = '';
    const read = async (): Promise<void> => {
      for await (const piece of turn) {
        text += piece.text;
        if (text.length > 20) void model.close();
      }
    };
    expect(await refusal('the loop', read)).toMatchObject({ code: 'MODEL_CLOSED' });
    expect(text).toMatch(/^Once there was/);
  });

  test.each<[string, () => Promise<SessionStore | string>]>([
    ['the directory of the model', folder],
    ['a directory that stays open', async () => new DirectoryStore(await folder())],
    ['memory', () => Promise.resolve(new MemoryStore())],
  ])('while a listing of %s runs: it ends there', async (_, make) => {
    const model = await loadRecall({ store: await make() });
    // More than a store reads in one go, and one that is not stored yet.
    const ids = Array.from({ length: 600 }, (_, i) => `stored ${String(i).padStart(3, '0')}`);
    await Promise.all(ids.map(async (id) => (await model.createSession({ id })).close()));
    await model.createSession({ id: 'unstored' });
    const listed: string[] = [];
    const list = async (): Promise<void> => {
      for await (const { id } of model.listSessions()) if (listed.push(id) === 2) await model.close();
    };
    expect(await refusal('the listing', list)).toMatchObject({ code: 'MODEL_CLOSED' });
    expect(listed).toEqual(ids.slice(0, 2));
  });

  test('before a listing begins', async () => {
    const model = await loadRecall({ store: await folder() });
    await (await model.createSession({ id: 'one' })).close();
    const listing = model.listSessions()[Symbol.asyncIterator]();
    await within('close()', model.close());
    expect(await refusal('the listing', () => listing.next())).toMatchObject({ code: 'MODEL_CLOSED' });
    expect(await refusal('another', () => model.listSessions())).toMatchObject({ code: 'MODEL_CLOSED' });
  });

  test('a store that was passed in stays open', async () => {
    const store = new DirectoryStore(await folder());
    const model = await loadRecall({ store });
    await within('a turn', (await model.createSession({ id: 'one' })).send('Hello', SHORT));
    await model.close();
    expect(await store.getRecord('one')).toBeDefined();
    await store.close();
  });
});
