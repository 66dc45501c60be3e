/** Sliding windows, recurrent states, and layers of both sorts: whatever happens to their KV, they say what they say alone. */
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Engine } from '../../lib/engine.js';
import { MemoryStore, type Reply, type Session } from '../../lib/index.js';
import { until } from '../support/deadline.js';
import {
  chatAlone,
  completedAlone,
  GREEDY,
  KINDS,
  kvAfter,
  load,
  MESSAGES,
  noise,
  reader,
  type Kind,
} from '../support/kinds.js';
import { folder } from '../support/models.js';

/** Remembers which pages it was given, and may read others. */
class PageStore extends MemoryStore {
  readonly keys: string[] = [];
  read = (key: string): Promise<Uint8Array | undefined> => super.getPage(key);

  override putPage(...given: Parameters<MemoryStore['putPage']>): Promise<boolean> {
    if (!this.keys.includes(given[0])) this.keys.push(given[0]);
    return super.putPage(...given);
  }

  override getPage(key: string): Promise<Uint8Array | undefined> {
    return this.read(key);
  }
}

describe.each(KINDS)('$name', (kind) => {
  test('what it says depends on all that was said, the first token too', async () => {
    const prompt = noise(1, 150);
    const text = await completedAlone(kind, prompt, 80);
    for (const changed of [0, 60, 115, 120, 149]) {
      const other = prompt.with(changed, 17);
      expect(await completedAlone(kind, other, 80), `token ${String(changed)}`).not.toBe(text);
    }
  });

  test('several at once say what each says alone', async () => {
    const model = await load(kind);
    const prompts = [150, 20, 90, 1].map((length, i) => noise(i, length));
    const sessions = await Promise.all(prompts.map(() => model.createSession()));
    const replies = await Promise.all(sessions.map((session, i) => session.complete(prompts[i] ?? [], GREEDY)));
    for (const [i, reply] of replies.entries()) expect(reply.text).toBe(await completedAlone(kind, prompts[i] ?? []));
    const { generatedSequences = 0, generateSteps = 0 } = model.stats();
    expect(generatedSequences / generateSteps).toBeGreaterThan(1);
  });

  test('six sessions on two sequences: all comes back from RAM, nothing is computed twice', async () => {
    const model = await load(kind, { maxResident: 2 });
    const sessions = await Promise.all(Array.from({ length: 6 }, () => model.createSession(GREEDY)));
    const conversations = sessions.map((_, i) => MESSAGES.map((message) => `${message} (${String(i)})`));
    const replies = await Promise.all(sessions.map((session, i) => chat(session, conversations[i] ?? [])));
    for (const [i, turns] of replies.entries()) {
      expect(turns.map(({ text }) => text)).toEqual(await chatAlone(kind, conversations[i] ?? []));
      const [first = NaN, ...later] = turns.map(({ usage }) => usage.cachedTokens);
      expect(later).toEqual(turns.slice(0, -1).map(kvAfter));
      // What all begin with may be there already, where a part of the KV can be taken over.
      if (kind.trims) expect(first).toBeLessThan(turns[0]?.usage.promptTokens ?? 0);
      else expect(first).toBe(0);
    }
    expect(new Set(replies.map((turns) => turns[2]?.text)).size).toBe(6);
    expect(model.stats()).toMatchObject({ kvMisses: 0, storeRestores: 0 });
    expect(model.stats()['ramRestores']).toBeGreaterThan(5);
  });

  test('parked between two turns, it says the same, without prefill', async () => {
    const model = await load(kind);
    const session = await model.createSession(GREEDY);
    const texts: string[] = [];
    let held = 0;
    for (const message of MESSAGES) {
      const reply = await session.send(message);
      texts.push(reply.text);
      expect(reply.usage.cachedTokens).toBe(held);
      held = kvAfter(reply);
      await session.park();
      expect(session.residency).toBe('ram');
    }
    expect(texts).toEqual(await chatAlone(kind, MESSAGES));
  });

  test('saved and resumed by another model: KV only where it can be checked', async () => {
    const store = new PageStore();
    const held = kvAfter(await saved(kind, store, 'ann', MESSAGES.slice(0, 2)));
    expect(store.keys).toHaveLength(kind.portable ? 1 : 0);

    const there = await load(kind, { store });
    const resumed = await there.resumeSession('ann');
    expect(resumed.residency).toBe(kind.portable ? 'store' : 'none');
    const reply = await resumed.send(MESSAGES[2] ?? '');
    expect([reply.text]).toEqual((await chatAlone(kind, MESSAGES)).slice(2));
    expect(reply.usage.cachedTokens).toBe(kind.portable ? held : 0);
    expect(there.stats()).toMatchObject({ storeRestores: kind.portable ? 1 : 0, kvMisses: 0 });
  });

  test('exported and imported: KV only where it can be checked', async () => {
    const file = join(await folder(), 'ann.session');
    const here = await load(kind);
    const session = await here.createSession(GREEDY);
    const [, last] = await chat(session, MESSAGES.slice(0, 2));
    await session.export(file);

    const there = await load(kind, { maxResident: 2 });
    const reply = await (await there.importSession(file)).send(MESSAGES[2] ?? '');
    expect([reply.text]).toEqual((await chatAlone(kind, MESSAGES)).slice(2));
    expect(reply.usage.cachedTokens).toBe(kind.portable && last ? kvAfter(last) : 0);
  });

  test('a full pool fails nobody', async () => {
    const long = { ...GREEDY, maxTokens: 200 };
    const model = await load(kind, { contextTokens: 512 });
    const prompts = [5, 10, 15, 20].map((length, i) => noise(i, length));
    const sessions = await Promise.all(prompts.map(() => model.createSession()));
    const replies = await Promise.all(sessions.map((session, i) => session.complete(prompts[i] ?? [], long)));
    for (const [i, reply] of replies.entries())
      expect(reply.text).toBe(await completedAlone(kind, prompts[i] ?? [], long.maxTokens));
    expect(model.stats()['stowedTurns']).toBeGreaterThan(0);
  });

  test('cancelled while it speaks, it goes on from what it has said', async () => {
    const model = await load(kind);
    const session = await model.createSession(GREEDY);
    await session.send('Hello');
    const turn = session.send('Tell me a story.', { maxTokens: 1000 });
    let seen = 0;
    for await (const _ of turn) if (++seen === 5) break;
    const cut = await turn;
    expect(cut.finishReason).toBe('cancelled');
    const reply = await session.send('Go on.');
    // A cancel must not end a step half-way that computes a state.
    expect(reply.usage.cachedTokens).toBe(kvAfter(cut));

    const alone = await (await load(kind)).createSession(GREEDY);
    await alone.send('Hello');
    expect((await alone.send('Tell me a story.', { maxTokens: cut.usage.generatedTokens })).text).toBe(cut.text);
    expect((await alone.send('Go on.')).text).toBe(reply.text);
  });

  test('cancelled while it reads, it is as it was', async () => {
    const model = await load(kind, { batchTokens: 1, maxResident: 1 });
    const session = await model.createSession(GREEDY);
    await session.send(MESSAGES[0] ?? '');
    const before = model.stats().prefilledTokens ?? 0;
    const turn = session.send('word '.repeat(500));
    await until('the first tokens of the prompt', () => (model.stats().prefilledTokens ?? 0) > before + 5);
    turn.cancel();
    expect(await turn).toMatchObject({ text: '', finishReason: 'cancelled' });
    const reply = await session.send(MESSAGES[1] ?? '');
    expect([reply.text]).toEqual((await chatAlone(kind, MESSAGES.slice(0, 2))).slice(1));
  });

  test('a prompt that leaves what the KV holds is read from there on', async () => {
    const model = await load(kind);
    for (const common of [1, 20, 120, 150, 168, 169, 199]) {
      const session = await reader(model, noise(1, 200));
      const prompt = [...noise(1, common), ...noise(2, 30)];
      const reply = await session.complete(prompt, GREEDY);
      expect(reply.text, `${String(common)} in common`).toBe(await completedAlone(kind, prompt));
      expect(reply.usage.cachedTokens).toBe(kind.trims ? common : 0);
      await session.delete();
    }
  });

  test('KV from outside is taken only where it can be checked, and only for the tokens it is of', async () => {
    const engine = new Engine(() => undefined);
    const { path, portable } = kind;
    const options = { path, gpuLayers: 0, contextTokens: 1024, sequences: 2, batchTokens: 64, threads: 1 };
    const info = await engine.open({ ...options, unified: true, speculation: true, kvType: 'q8_0', memory: 0 });
    onTestFinished(() => engine.close());
    expect(info.portableKv).toBe(portable);
    const tokens = Int32Array.from(noise(1, 100));
    await read(engine, tokens);
    const bytes = await engine.exportKv(0, 0, tokens.length);
    // What another sequence has computed is shared, and the bytes are not needed: no other may hold anything.
    await engine.clearSequence(0);
    const take = async (length: number, trusted: boolean): Promise<boolean> => {
      await engine.clearSequence(1);
      return engine.importKv(1, 0, tokens.subarray(0, length), bytes, trusted);
    };
    expect(await take(100, true)).toBe(true);
    expect(await take(99, true)).toBe(false);
    expect(await take(100, false)).toBe(portable);
    expect(await take(99, false)).toBe(false);
  });
});

describe.each(KINDS.filter(({ portable }) => portable))('$name', (kind) => {
  const said = MESSAGES.slice(0, 2).toReversed();
  const damages: Record<string, (page: Uint8Array, others: Uint8Array) => Uint8Array> = {
    'changed at its end': (page) => page.with(-100, (page.at(-100) ?? 0) ^ 1),
    'changed at its beginning': (page) => page.with(30, (page[30] ?? 0) ^ 1),
    'cut off': (page) => page.subarray(0, -1),
    "another session's": (_, others) => others,
  };

  test.each(Object.keys(damages))('a page that is %s is a miss, not an answer', async (name) => {
    const store = new PageStore();
    await saved(kind, store, 'bob', said);
    await saved(kind, store, 'ann', MESSAGES.slice(0, 2));
    const [bobs, anns] = await Promise.all(store.keys.map(store.read));
    if (!bobs || !anns) throw new Error('both were saved');
    store.read = () => Promise.resolve(damages[name]?.(bobs, anns));

    const model = await load(kind, { store });
    const reply = await (await model.resumeSession('bob')).send('And then?');
    expect(reply.text).toBe((await chatAlone(kind, [...said, 'And then?'])).at(-1));
    expect(reply.usage.cachedTokens).toBe(0);
    expect(model.stats()).toMatchObject({ storeRestores: 0, kvMisses: 1 });
  });
});

async function chat(session: Session, messages: readonly string[]): Promise<Reply[]> {
  const replies = [];
  for (const message of messages) replies.push(await session.send(message));
  return replies;
}

/** A session that a model of its own has left in the store. @returns its last reply */
async function saved(kind: Kind, store: MemoryStore, id: string, messages: readonly string[]): Promise<Reply> {
  const model = await load(kind, { store });
  const session = await model.createSession({ id, ...GREEDY });
  const [last] = (await chat(session, messages)).slice(-1);
  await session.save();
  await session.close();
  if (!last) throw new RangeError('nothing to save');
  return last;
}

/** Sequence 0 holds these tokens. */
function read(engine: Engine, tokens: Int32Array): Promise<unknown> {
  const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repeatPenalty: 1, frequencyPenalty: 0 };
  const rest = { presencePenalty: 0, seed: 0, grammar: '', format: undefined, stop: [], ignoreEog: true };
  const bias = { biasTokens: new Int32Array(0), biasValues: new Float64Array(0) };
  return new Promise((end) => {
    engine.submit({ sequence: 0, tokens, maxTokens: 1, ...sampling, ...rest, ...bias }, { push: () => undefined }, end);
  });
}
