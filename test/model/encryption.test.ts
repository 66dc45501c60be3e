/** Sessions whose store gets nothing to see. */
import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { DirectoryStore, type KeyRing, type Model, type Session, type SessionInfo } from '../../lib/index.js';
import { refusal } from '../support/deadline.js';
import { folder, loadRecall, says } from '../support/models.js';
import { holdTime } from '../support/time.js';

const GREEDY = { sampling: { temperature: 0 } };
const CACHE = { pageTokens: 32, restore: 'always' } as const;
const [KEY, OTHER] = [randomBytes(32), randomBytes(32)];
const RING: KeyRing = { current: 'a', keys: { a: KEY } };

let path: string;
beforeEach(async () => {
  path = await folder();
});

function load(encryption?: KeyRing): Promise<Model> {
  return loadRecall({ store: path, cache: CACHE, ...(encryption && { encryption }) });
}

/** A session that has been told something, whose model is closed. */
async function keep(encryption?: KeyRing): Promise<void> {
  const model = await load(encryption);
  const session = await model.createSession({ id: 'ann', system: 'Be brief.', metadata: { plan: 'free' }, ...GREEDY });
  await session.send('My name is Mosoba.');
  await session.save();
  await model.close();
}

async function listed(model: Model): Promise<SessionInfo[]> {
  const infos: SessionInfo[] = [];
  for await (const info of model.listSessions()) infos.push(info);
  return infos;
}

/** All bytes of the directory. */
async function stored(): Promise<Buffer> {
  const names = await readdir(path, { recursive: true });
  const files: Buffer[] = [];
  for (const name of names) {
    const file = join(path, name);
    if ((await stat(file)).isFile()) files.push(await readFile(file));
  }
  return Buffer.concat(files);
}

async function wantsName(session: Session): Promise<void> {
  const { text, usage } = await session.send('What is my name?');
  expect(text).toBe('Your name is Mosoba.');
  expect(usage.cachedTokens).toBeGreaterThan(16);
}

test('it comes back with its KV, and is listed; the store has seen nothing of it', async () => {
  await keep(RING);
  const bytes = await stored();
  expect(bytes.includes(Buffer.from('ann', 'utf16le').swap16())).toBe(true); // ids are no secret
  for (const secret of ['Mosoba', 'Be brief', 'free', 'plan']) {
    expect(bytes.includes(secret)).toBe(false);
    expect(bytes.includes(Buffer.from(secret, 'utf16le'))).toBe(false);
  }
  const model = await load(RING);
  expect(await listed(model)).toMatchObject([{ id: 'ann', summary: 'My name is Mosoba.', metadata: { plan: 'free' } }]);
  await wantsName(await model.resumeSession('ann'));
  expect(model.stats()).toMatchObject({ kvMisses: 0, storeFailures: 0, corruptRecords: 0 });
});

test('without encryption the same search finds it', async () => {
  await keep();
  for (const secret of ['Mosoba', 'Be brief', 'free']) expect((await stored()).includes(secret)).toBe(true);
});

describe('without its key', () => {
  test.each<[string, KeyRing | undefined]>([
    ['no encryption', undefined],
    ['other keys', { current: 'b', keys: { b: OTHER } }],
    ['another one of that id', { current: 'a', keys: { a: OTHER } }],
  ])('%s: KEY_NOT_FOUND names it; it is not listed, and can be deleted', async (_, encryption) => {
    await keep(RING);
    const model = await load(encryption);
    const error = await refusal('resuming', () => model.resumeSession('ann'));
    expect(error).toMatchObject({ code: 'KEY_NOT_FOUND' });
    expect(error.message).toContain('a key "a" that is not here');
    expect(await listed(model)).toEqual([]);
    expect(model.stats().corruptRecords).toBe(1);
    expect(await refusal('creating', () => model.createSession({ id: 'ann' }))).toMatchObject({
      code: 'SESSION_EXISTS',
    });
    expect(await model.deleteSession('ann')).toBe(true);
    expect((await model.createSession({ id: 'ann' })).messages).toEqual([]);
  });

  test('it expires all the same', async () => {
    const time = holdTime();
    const model = await load(RING);
    await (await model.createSession({ id: 'ann', ttlMs: 20_000, ...GREEDY })).send('My name is Mosoba.');
    await model.close();
    time.pass(30_000);
    const without = await load({ current: 'b', keys: { b: OTHER } });
    expect(await refusal('resuming', () => without.resumeSession('ann'))).toMatchObject({ code: 'SESSION_NOT_FOUND' });
    const store = new DirectoryStore(path);
    for await (const { id } of store.listRecords()) expect.unreachable(`${id} is there`);
    await store.close();
  });

  test('what was stored without encryption is not believed', async () => {
    await keep();
    const model = await load(RING);
    const error = await refusal('resuming', () => model.resumeSession('ann'));
    expect(error).toMatchObject({ code: 'SNAPSHOT_CORRUPT' });
    expect(error.message).toContain('not encrypted');
    // The way in, as the message says.
    const plain = await load();
    const file = join(path, 'ann.session');
    await (await plain.resumeSession('ann')).export(file);
    await plain.close();
    await wantsName(await model.importSession(file, { replace: true }));
  });
});

describe('a new key', () => {
  const BOTH: KeyRing = { current: 'b', keys: { a: KEY, b: OTHER } };

  test('what the old one encrypted is read, KV too, and kept with the new one from then on', async () => {
    await keep(RING);
    const model = await load(BOTH);
    await wantsName(await model.resumeSession('ann'));
    expect(model.stats()).toMatchObject({ kvMisses: 0, storeFailures: 0 });
    await model.close();
    const again = await load(BOTH);
    await wantsName(await again.resumeSession('ann'));
    expect(again.stats()).toMatchObject({ kvMisses: 0, storeFailures: 0 });
    await again.close();
    const later = await load({ current: 'b', keys: { b: OTHER } });
    expect(await says(await later.resumeSession('ann'), 'What is my name?')).toBe('Your name is Mosoba.');
  });
});

test('KV that was changed is computed again, and kept again', async () => {
  await keep(RING);
  for (const name of await readdir(join(path, 'pages'), { recursive: true })) {
    const file = join(path, 'pages', name);
    if ((await stat(file)).isDirectory()) continue;
    const bytes = await readFile(file);
    await writeFile(file, bytes.fill(1, bytes.byteLength - 4));
  }
  const model = await load(RING);
  const session = await model.resumeSession('ann');
  expect(await says(session, 'What is my name?')).toBe('Your name is Mosoba.');
  expect(model.stats().kvMisses).toBeGreaterThan(0);
  await session.save();
  await model.close();
  const again = await load(RING);
  await wantsName(await again.resumeSession('ann'));
  expect(again.stats()).toMatchObject({ kvMisses: 0, storeFailures: 0 });
});

test('a session that was only resumed and closed is kept with the new key, too', async () => {
  await keep(RING);
  const both = await load({ current: 'b', keys: { a: KEY, b: OTHER } });
  await (await both.resumeSession('ann')).close();
  await both.close();
  const later = await load({ current: 'b', keys: { b: OTHER } });
  expect(await says(await later.resumeSession('ann'), 'What is my name?')).toBe('Your name is Mosoba.');
});

test('the keys may be wiped as soon as loadModel() was called', async () => {
  const key = Buffer.from(KEY);
  const loading = load({ current: 'a', keys: { a: key } });
  key.fill(0);
  const model = await loading;
  await (await model.createSession({ id: 'ann', ...GREEDY })).send('My name is Mosoba.');
  await model.close();
  await wantsName(await (await load(RING)).resumeSession('ann'));
});

test('two models of one store object and the same keys know of each other', async () => {
  const store = new DirectoryStore(path);
  onTestFinished(() => store.close());
  const [one, other] = [await loadRecall({ store, encryption: RING }), await loadRecall({ store, encryption: RING })];
  const session = await one.createSession({ id: 'ann', ...GREEDY });
  await session.send('My name is Mosoba.');
  expect(Buffer.from((await store.getRecord('ann'))?.bytes ?? []).includes('Mosoba')).toBe(false);
  const theirs = await other.resumeSession('ann');
  await session.close(); // and lets go of nothing that the other one has
  const elsewhere = await load(RING);
  expect(await refusal('resuming', () => elsewhere.resumeSession('ann'))).toMatchObject({ code: 'SESSION_CONFLICT' });
  expect(await says(theirs, 'What is my name?')).toBe('Your name is Mosoba.');
});
