/** A disk that is full, read-only or gone: typed errors, and conversations go on in memory, to be stored when they can be. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { audit } from '../support/audit.js';
import { runChild, type ChildOptions, type Ending } from '../support/child.js';
import { folder, loadRecall } from '../support/models.js';

const good = { code: 0, signal: null };
/** The superuser may write everywhere. */
const nobody: ChildOptions = process.getuid?.() === 0 ? { uid: 65534 } : {};

/** `says()` prints what a call comes to, `limit()` lets no file grow beyond so many bytes. */
function run(path: string, script: string, options?: ChildOptions): Promise<Ending> {
  const prelude = `
    import { execFileSync } from 'node:child_process';
    import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
    const PATH = ${JSON.stringify(path)};
    const GREEDY = { sampling: { temperature: 0 } };
    const limit = (bytes) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':unlimited']);
    const says = async (what, call) => console.log(what, await call().then(
      (value) => value?.text ?? 'done', (error) => error.code + (error.cause?.code ? ', with a cause' : '')));`;
  return runChild(prelude + script, options);
}

/** It came to its end, having printed these lines. */
const printed = (...lines: string[]): Partial<Ending> => ({ ...good, stdout: [...lines, ''].join('\n') });

// Linux's prlimit(1) is the one way to take room from a process that runs, and to give it back.
const canLimit = process.platform === 'linux' && spawnSync('prlimit', ['--version']).error === undefined;

test.skipIf(!canLimit)('a disk that is full for a while: turns say so, nothing is lost', async () => {
  const path = await folder();
  const ending = await run(
    path,
    `
    const model = await load({ store: PATH });
    const small = await model.createSession({ id: 'small', ...GREEDY });
    await says('a turn', () => small.send('My name is Mosoba.'));
    const large = await model.createSession({ id: 'large', ...GREEDY, metadata: { text: 'x'.repeat(300_000) } });
    const errors = [];
    large.on('error', (error) => errors.push(error.code));
    limit(66_000);
    await says('a large record', () => large.send('My code is 3299.'));
    console.log(large.messages.length, errors.join());
    await says('a small one', () => small.send('What is my name?'));
    await says('its pages', () => small.save());
    await says('and again', () => large.send('What is my code?'));
    await says('parking', () => large.park());
    await says('a turn', () => small.send('What is my name?'));
    limit('unlimited');
    await says('a turn', () => large.send('What is my code?'));
    await says('pages', () => large.save());
    await says('pages', () => small.save());
    console.log(model.stats().storeFailures > 0);
    await model.close();`,
  );
  expect(ending).toMatchObject(
    printed(
      'a turn Noted: your name is Mosoba.',
      'a large record STORE_FAILED, with a cause',
      '2 STORE_FAILED',
      'a small one Your name is Mosoba.',
      'its pages STORE_FAILED, with a cause',
      'and again STORE_FAILED, with a cause',
      'parking done',
      'a turn Your name is Mosoba.',
      'a turn Your code is 3299.',
      'pages done',
      'pages done',
      'true',
    ),
  );
  const model = await loadRecall({ store: path, cache: { restore: 'always' } });
  for (const [id, messages] of Object.entries({ small: 6, large: 6 })) {
    const session = await model.resumeSession(id);
    expect([id, session.messages.length, session.residency]).toEqual([id, messages, 'store']);
    expect((await session.send('What is my name?', { maxTokens: 20 })).usage.cachedTokens).toBeGreaterThan(40);
    await session.delete();
  }
  await model.close();
  await audit(path);
});

test.skipIf(!canLimit)('a new directory on a full disk: it is told, and can be used when there is room', async () => {
  for (const bytes of [0, 4096, 20_000, 66_000]) {
    const path = await folder();
    const ending = await run(
      path,
      `
      const model = await load({ store: PATH });
      limit(${String(bytes)});
      const failed = await model.createSession({ id: 'one' }).then((session) => session.send('Hello!', { maxTokens: 4 }))
        .then(() => undefined, (error) => error);
      console.log(failed?.code);
      limit('unlimited');
      const session = model.getSession('one') ?? await model.createSession({ id: 'one', ...GREEDY });
      await says('a turn', () => session.send('My name is Mosoba.', GREEDY));
      await model.close();`,
    );
    expect({ bytes, ...ending }).toMatchObject({ bytes, ...good });
    // There may be room enough for the beginning.
    const told = bytes < 60_000 ? 'STORE_FAILED' : '(STORE_FAILED|undefined)';
    expect(ending.stdout).toMatch(new RegExp(`^${told}\na turn Noted: your name is Mosoba\\.\n$`));
    expect((await (await loadRecall({ store: path })).resumeSession('one')).messages.length).toBeGreaterThan(1);
  }
});

test('a directory that may not be written to', async () => {
  const path = await folder();
  const here = await loadRecall({ store: path });
  await (await here.createSession({ id: 'one' })).close();
  await here.close();
  const ending = await run(
    path,
    `
    const own = mkdtempSync('/tmp/disk-own-');
    chmodSync(own, 0o500);
    for (const store of [PATH, own, own + '/below']) {
      const model = await load({ store });
      await says('create', () => model.createSession());
      await says('resume', () => model.resumeSession('one'));
      await says('delete', () => model.deleteSession('one'));
      await says('list', async () => { for await (const info of model.listSessions()) console.log(info.id); });
      console.log(model.stats().openSessions);
      await says('close', () => model.close());
    }
    chmodSync(own, 0o700);
    rmSync(own, { recursive: true });`,
    nobody,
  );
  const refused = ['create', 'resume', 'delete', 'list'].map((what) => `${what} STORE_FAILED, with a cause`);
  const each = [...refused, '0', 'close done'];
  expect(ending).toMatchObject(printed(...each, ...each, ...each));
});

test('a directory that is made read-only while it is used: what can be written is, the rest when it can be', async () => {
  const ending = await run(
    '',
    `
    const own = mkdtempSync('/tmp/disk-own-');
    const model = await load({ store: own, cache: { restore: 'always' } });
    const session = await model.createSession({ id: 'one', ...GREEDY });
    await says('a turn', () => session.send('My name is Mosoba.'));
    chmodSync(own, 0o500);
    await says('a turn', () => session.send('My code is 3299.'));
    await says('pages', () => session.save());
    await says('parking', () => session.park());
    await says('a turn', () => session.send('What is my code?'));
    chmodSync(own, 0o700);
    await says('pages', () => session.save());
    await session.close();
    const again = await model.resumeSession('one');
    console.log(again.messages.length, again.residency);
    await says('a turn', () => again.send('What is my name?'));
    await model.close();
    rmSync(own, { recursive: true });`,
    nobody,
  );
  expect(ending).toMatchObject(
    printed(
      'a turn Noted: your name is Mosoba.',
      'a turn Noted: your code is 3299.',
      'pages STORE_FAILED, with a cause',
      'parking done',
      'a turn Your code is 3299.',
      'pages done',
      '6 store',
      'a turn Your name is Mosoba.',
    ),
  );
});

test('a directory that is removed while it is used: conversations go on in memory, and can be brought to another one', async () => {
  const path = join(await folder(), 'store');
  const ending = await run(
    path,
    `
    const model = await load({ store: PATH, cache: { restore: 'always' } });
    const [stored, silent] = [await model.createSession({ id: 'stored', ...GREEDY }), await model.createSession({ id: 'silent', ...GREEDY })];
    const states = [];
    for (const session of [stored, silent]) session.on('state', ({ to }) => states.push(to));
    await says('a turn', () => stored.send('My name is Mosoba.'));
    await stored.save();
    rmSync(PATH, { recursive: true });
    await says('a turn', () => stored.send('What is my name?'));
    await says('parking', () => stored.park());
    await says('another turn', () => stored.send('What is my name?'));
    await says('one that was never stored', () => silent.send('My name is Kelin.'));
    for (const { messages } of [stored, silent]) console.log(messages.length, messages.at(-1).content);
    console.log([...new Set(states)].join());
    await says('resume', async () => { if (await model.resumeSession('stored') !== stored) throw new Error('another one'); });
    await says('create', () => model.createSession({ id: 'fresh' }));
    await says('list', async () => { for await (const info of model.listSessions()) console.log(info.id); });
    console.log(existsSync(PATH));
    for (const session of [stored, silent]) await says('export', () => session.export(PATH + '-' + session.id));
    await says('close', () => model.close());
    const next = await load({ store: PATH });
    for (const [id, name] of Object.entries({ stored: 'Mosoba', silent: 'Kelin' })) {
      const session = await next.importSession(PATH + '-' + id);
      await says('a turn', () => session.send('What is my name?'));
    }
    await next.close();`,
  );
  expect(ending).toMatchObject({
    ...printed(
      'a turn Noted: your name is Mosoba.',
      'a turn STORE_FAILED, with a cause',
      'parking done',
      'another turn STORE_FAILED, with a cause',
      'one that was never stored STORE_FAILED, with a cause',
      '6 Your name is Mosoba.',
      '2 Noted: your name is Kelin.',
      'queued,running,idle',
      'resume done',
      'create STORE_FAILED, with a cause',
      'list STORE_FAILED, with a cause',
      'false',
      'export done',
      'export done',
      'close STORE_FAILED, with a cause',
      'a turn Your name is Mosoba.',
      'a turn Your name is Kelin.',
    ),
    stderr: '',
  });
});

test('a directory that is taken away for a while, another in its place: nothing is lost, nothing mixed up', async () => {
  const path = join(await folder(), 'store');
  const ending = await run(
    path,
    `
    const model = await load({ store: PATH, cache: { restore: 'always' } });
    const session = await model.createSession({ id: 'one', ...GREEDY });
    await says('a turn', () => session.send('My name is Mosoba.'));
    renameSync(PATH, PATH + '-away');
    const other = await load({ store: PATH });
    await says('the other', async () => (await other.createSession({ id: 'one', ...GREEDY })).send('My name is Kelin.'));
    await says('a turn', () => session.send('My code is 3299.'));
    await says('a turn of the other', () => other.getSession('one').send('What is my name?'));
    await says('close', () => other.close());
    renameSync(PATH, PATH + '-other');
    renameSync(PATH + '-away', PATH);
    await says('a turn', () => session.send('What is my name?'));
    await says('pages', () => session.save());
    await says('close', () => model.close());`,
  );
  expect(ending).toMatchObject({
    ...printed(
      'a turn Noted: your name is Mosoba.',
      'the other Noted: your name is Kelin.',
      'a turn STORE_FAILED, with a cause',
      'a turn of the other Your name is Kelin.',
      'close done',
      'a turn Your name is Mosoba.',
      'pages done',
      'close done',
    ),
    stderr: '',
  });
  await audit(path);
  for (const [store, messages, name] of [
    [path, 6, 'Mosoba'],
    [`${path}-other`, 4, 'Kelin'],
  ] as const) {
    const session = await (await loadRecall({ store })).resumeSession('one');
    expect(session.messages).toHaveLength(messages);
    expect((await session.send('What is my name?')).text).toBe(`Your name is ${name}.`);
  }
});

test.skipIf(!canLimit)('a process that may take little address space has room for the index', async () => {
  const ending = await run(
    await folder(),
    `
    execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + 8e9]);
    const model = await load({ store: PATH });
    const session = await model.createSession({ id: 'ada' });
    await says('send', () => session.send('My name is Ada.', GREEDY));
    await model.close();`,
  );
  expect(ending).toMatchObject(printed('send Noted: your name is Ada.'));
});
