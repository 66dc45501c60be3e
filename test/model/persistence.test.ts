import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DirectoryStore, loadModel, MemoryStore, type Model, type Session } from '../../lib/index.js';
import { decodeRecord, encodeRecord } from '../../lib/record.js';
import { namedModel } from '../../bench/generate-model.mjs';
import { until } from '../support/deadline.js';
import { RECALL } from '../support/recall.js';

const GREEDY = { sampling: { temperature: 0 } };
// By default KV comes back when that pays, which depends on the machine.
const LOAD = { threads: 1, maxResident: 4, cache: { restore: 'always' } } as const;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llama-sessions-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const store = (): string => join(folder, 'store');

async function told(model: Model, id: string): Promise<Session> {
  const session = await model.createSession({ id, ...GREEDY, metadata: { user: id } });
  await session.send('My name is Mosoba.');
  await session.send('My code is 3299.');
  return session;
}

/** Tells, saves, ends the process's part; then changes the files and asks in a new one. */
async function tellAndSave(): Promise<void> {
  const model = await loadModel(RECALL, { ...LOAD, store: store() });
  await (await told(model, 'ann')).save();
  await model.close();
}

async function idsOf(model: Model): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of model.listSessions()) ids.push(id);
  return ids;
}

async function filesUnder(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function flipByte(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await writeFile(path, bytes);
}

test('after a turn that came to nothing, save() and export() take all KV of what was said', async () => {
  const cache = { restore: 'always', pageTokens: 16 } as const;
  const model = await loadModel(RECALL, { ...LOAD, cache, batchTokens: 4, store: store() });
  const session = await told(model, 'ann');
  // The device holds what was read of it, behind what was said.
  const before = Number(model.stats()['prefilledTokens']);
  const controller = new AbortController();
  const turn = session.send('Tell me a story. '.repeat(200), { signal: controller.signal });
  await until('a part is read', () => Number(model.stats()['prefilledTokens']) > before);
  controller.abort();
  await expect(turn).rejects.toMatchObject({ code: 'ABORTED', partial: '' });
  await session.save();
  const file = join(folder, 'ann.session');
  await session.export(file);
  await model.close();

  const other = await loadModel(RECALL, { ...LOAD, cache, store: new MemoryStore() });
  for (const from of [await loadModel(RECALL, { ...LOAD, cache, store: store() }), other]) {
    const again = from === other ? await from.importSession(file) : await from.resumeSession('ann');
    const { text, usage } = await again.send('What is my name?');
    expect(text).toBe('Your name is Mosoba.');
    expect(usage.cachedTokens).toBeGreaterThanOrEqual(32);
    await from.close();
  }
});

test('a session goes on after a restart, without prefill', async () => {
  await tellAndSave();
  const model = await loadModel(RECALL, { ...LOAD, store: store() });
  const session = await model.resumeSession('ann');
  expect(session.residency).toBe('store');
  expect(session.metadata).toEqual({ user: 'ann' });
  expect(session.messages).toHaveLength(4);
  const reply = await session.send('What is my name?');
  expect(reply.text).toBe('Your name is Mosoba.');
  // All but the new message and what ended the last one.
  expect(reply.usage.cachedTokens).toBeGreaterThan(35);
  expect(reply.usage.promptTokens - reply.usage.cachedTokens).toBeLessThan(20);
  expect(model.stats()).toMatchObject({ storeRestores: 1, kvMisses: 0 });
  await model.close();
});

test('a damaged, truncated or missing KV page is a cache miss: the conversation goes on', async () => {
  const damages: ((page: string) => Promise<void>)[] = [
    (page) => flipByte(page, 20),
    (page) => flipByte(page, 5000),
    (page) => truncate(page, 3000),
    (page) => truncate(page, 0),
    (page) => appendFile(page, 'x'),
    (page) => rm(page),
  ];
  for (const damage of damages) {
    await rm(store(), { recursive: true, force: true });
    await tellAndSave();
    const [page] = await filesUnder(join(store(), 'pages'));
    await damage(page as string);
    const model = await loadModel(RECALL, { ...LOAD, store: store() });
    const reply = await (await model.resumeSession('ann')).send('What is my name?');
    expect(reply.text).toBe('Your name is Mosoba.');
    expect(reply.usage.cachedTokens).toBe(0);
    expect(model.stats()).toMatchObject({ storeRestores: 0, kvMisses: 1 });
    await model.close();
  }
});

/** What the store keeps of a session, changed by whoever has the directory; the info that listings show stays. */
async function tamper(
  id: string,
  change: (bytes: Buffer, info: Uint8Array) => [Uint8Array, Uint8Array],
): Promise<void> {
  const hand = new DirectoryStore(store());
  const { version = 0, bytes = new Uint8Array() } = (await hand.getRecord(id)) ?? {};
  for await (const listed of hand.listRecords({ prefix: id })) {
    const [changed, info] = change(Buffer.from(bytes), listed.info);
    await hand.putRecord(id, changed, { expected: version, info });
  }
  await hand.close();
}

test('a damaged record is SNAPSHOT_CORRUPT, hides no other session and can be deleted', async () => {
  const damages: ((bytes: Buffer) => Uint8Array)[] = [
    (bytes) => bytes.fill(bytes.readUInt8(700) ^ 1, 700, 701),
    (bytes) => bytes.subarray(0, -1),
    (bytes) => Buffer.concat([bytes, Buffer.of(0)]),
    () => new Uint8Array(),
  ];
  for (const damage of damages) {
    await rm(store(), { recursive: true, force: true });
    await tellAndSave();
    await tamper('ann', (bytes, info) => [damage(bytes), info]);
    const model = await loadModel(RECALL, { ...LOAD, store: store() });
    await told(model, 'bob');
    await expect(model.resumeSession('ann')).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' });
    // A listing reads what was written beside the record.
    expect(await idsOf(model)).toEqual(['ann', 'bob']);
    expect(await model.deleteSession('ann')).toBe(true);
    await expect(model.resumeSession('ann')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    expect(await idsOf(model)).toEqual(['bob']);
    expect(model.stats()['corruptRecords']).toBe(0);
    await model.close();
  }
});

test('a record whose info is damaged is left out of listings, counted, and can be resumed', async () => {
  await tellAndSave();
  await tamper('ann', (bytes, info) => [bytes, info.subarray(1)]);
  const model = await loadModel(RECALL, { ...LOAD, store: store() });
  await told(model, 'bob');
  expect(await idsOf(model)).toEqual(['bob']);
  expect(model.stats()['corruptRecords']).toBe(1);
  const session = await model.resumeSession('ann');
  expect((await session.send('What is my name?')).text).toBe('Your name is Mosoba.');
  await session.close();
  expect(await idsOf(model)).toEqual(['ann', 'bob']);
  await model.close();
});

test('a file goes to another process, with another pool, and answers there without prefill', async () => {
  const file = join(folder, 'ann.session');
  const here = await loadModel(RECALL, LOAD);
  const { bytes } = await (await told(here, 'ann')).export(file);
  expect((await readFile(file)).byteLength).toBe(bytes);
  await here.close();

  const there = await loadModel(RECALL, { ...LOAD, maxResident: 9, contextTokens: 4096 });
  const session = await there.importSession(file, { id: 'ann in her new home' });
  const reply = await session.send('What is my name?');
  expect(reply.text).toBe('Your name is Mosoba.');
  expect(reply.usage.cachedTokens).toBeGreaterThan(35);
  await expect(there.importSession(file, { id: session.id })).rejects.toMatchObject({ code: 'SESSION_EXISTS' });
  const again = await there.importSession(file, { id: session.id, replace: true });
  expect(again.messages).toHaveLength(4);
  await there.close();
});

test('a file whose KV is damaged or of another KV type comes in all the same, computed again', async () => {
  const file = join(folder, 'ann.session');
  const here = await loadModel(RECALL, LOAD);
  await (await told(here, 'ann')).export(file);
  await here.close();

  const otherType = await loadModel(RECALL, { ...LOAD, kvType: 'q8_0' });
  const first = await (await otherType.importSession(file)).send('What is my code?');
  expect(first).toMatchObject({ text: 'Your code is 3299.', usage: { cachedTokens: 0 } });
  await otherType.close();

  await flipByte(file, (await readFile(file)).byteLength - 1000);
  const there = await loadModel(RECALL, LOAD);
  const reply = await (await there.importSession(file)).send('What is my name?');
  expect(reply).toMatchObject({ text: 'Your name is Mosoba.', usage: { cachedTokens: 0 } });
  expect(there.stats()['kvMisses']).toBe(1);
  await flipByte(file, 200);
  await expect(there.importSession(file, { id: 'x' })).rejects.toMatchObject({ code: 'SNAPSHOT_CORRUPT' });
  await expect(there.importSession(join(folder, 'nobody'))).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  await there.close();
});

test('a session of another model keeps its messages; tokens and KV are made anew', async () => {
  await tellAndSave();
  const tiny = namedModel('tiny');
  const model = await loadModel(tiny, { ...LOAD, store: store() });
  const session = await model.resumeSession('ann');
  expect(session.messages).toHaveLength(4);
  const reply = await session.send('Hello', { maxTokens: 4 });
  expect(reply.usage.cachedTokens).toBe(0);
  expect(session.messages).toHaveLength(6);
  await model.close();
});

test.each([-1, 960, 2_147_483_647])('a file whose tokens no model has (%i) comes in, tokenised anew', async (token) => {
  const [file, forged] = [join(folder, 'ann.session'), join(folder, 'forged.session')];
  const model = await loadModel(RECALL, LOAD);
  expect(model.info.vocabularySize).toBe(960);
  await (await told(model, 'ann')).export(file);
  const whole = await readFile(file);
  const record = decodeRecord(whole.subarray(0, 16 + whole.readUInt32LE(12) + 32));
  await writeFile(forged, encodeRecord({ ...record, id: 'forged', tokens: record.tokens.with(3, token) }));
  const session = await model.importSession(forged);
  const reply = await session.send('What is my name?');
  expect(reply.text).toBe('Your name is Mosoba.');
  await (await session.fork()).send('What is my code?');
  await model.close();
});

test('resumed twice at once, it is one session', async () => {
  await tellAndSave();
  const model = await loadModel(RECALL, { ...LOAD, store: store() });
  const [one, two] = await Promise.all([model.resumeSession('ann'), model.resumeSession('ann')]);
  expect(two).toBe(one);
  const closing = one.close();
  const [three, four] = await Promise.all([model.resumeSession('ann'), model.resumeSession('ann'), closing]);
  expect(four).toBe(three);
  expect(three).not.toBe(one);
  await model.close();
});

test('save() writes a page once and replaces the one before', async () => {
  const model = await loadModel(RECALL, { ...LOAD, store: store() });
  const session = await told(model, 'ann');
  await session.save();
  const pages = await filesUnder(join(store(), 'pages'));
  await session.save();
  expect(await filesUnder(join(store(), 'pages'))).toEqual(pages);
  await session.send('What is my name?');
  await session.save();
  const replaced = await filesUnder(join(store(), 'pages'));
  expect(replaced).toHaveLength(1);
  expect(replaced).not.toEqual(pages);
  await session.delete();
  expect(await filesUnder(join(store(), 'pages'))).toEqual([]);
  await model.close();
});

test('an idle session expires after its ttl, with an event; a stored one is not found', async () => {
  const shared = new MemoryStore();
  const model = await loadModel(RECALL, { ...LOAD, store: shared });
  const open = await model.createSession({ id: 'open', ttlMs: 50, ...GREEDY });
  const stored = await model.createSession({ id: 'stored', ttlMs: 50, ...GREEDY });
  const expired = new Promise((resolve) => open.on('expired', resolve));
  await Promise.all([open.send('Hello!'), stored.send('Hello!')]);
  await stored.close();
  await expired;
  await expect.poll(() => model.getSession('open')).toBeUndefined();
  await expect(model.resumeSession('open')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  await expect(model.resumeSession('stored')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
  await model.close();
});
