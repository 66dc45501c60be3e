/** What is dropped without close() is found by the garbage collector, and ends as if it had been closed. */
import { expect, onTestFinished, test } from 'vitest';
import { runChild, type Ending } from '../support/child.js';
import { RedisProcess } from '../support/redis.js';

const good = { code: 0, signal: null, stderr: '' };

/** `collected(isSo)` collects garbage until it is so; in a function of its own, a dropped object is in no register. */
const COLLECT = `
const collected = async (isSo) => {
  for (let i = 0; i < 300; i++) { if (await isSo()) return true; gc(); await pause(10); }
  return false;
};
`;

function run(script: string): Promise<Ending> {
  return runChild(COLLECT + script, { flags: ['--expose-gc'] });
}

test('a dropped session is closed, its sequence comes back, its record can be resumed, and RAM is its cache', async () => {
  const ending = await run(`
    const GREEDY = { sampling: { temperature: 0 } };
    const model = await load({ cache: { restore: 'always' } });
    const ids = Array.from({ length: 20 }, (_, i) => 'dropped' + i);
    await (async () => {
      for (const [i, id] of ids.entries()) {
        const session = await model.createSession({ id });
        await session.send('My code is ' + (1009 + 137 * i) + '.', GREEDY);
        await session.park();
      }
    })();
    console.log(await collected(() => model.stats().openSessions === 0), model.stats().residentSessions);
    const inRam = model.stats().ramKvBytes;
    const session = await model.resumeSession('dropped7');
    console.log(session.residency);
    const { text, usage } = await session.send('What is my code?', GREEDY);
    console.log(text, usage.cachedTokens > 16);
    await session.delete();
    const left = model.stats().ramKvBytes;
    console.log(inRam > 0, left < inRam, left > 0);
    for (const id of ids) if (id !== 'dropped7') await (await model.resumeSession(id)).delete();
    console.log(model.stats().ramKvBytes);
    await model.close();`);
  const lines = ['true 0', 'ram', 'Your code is 1968. true', 'true true true', '0', ''];
  expect(ending).toMatchObject({ ...good, stdout: lines.join('\n') });
});

test('a dropped session that never spoke is kept too', async () => {
  const ending = await run(`
    const model = await load();
    await (async () => { await model.createSession({ id: 'silent', system: 'You are a terse assistant.' }); })();
    console.log(await collected(() => model.stats().openSessions === 0));
    console.log((await model.resumeSession('silent')).id);
    await model.close();`);
  expect(ending).toMatchObject({ ...good, stdout: 'true\nsilent\n' });
});

test('nothing is left of closed sessions whose listeners refer to them', async () => {
  const ending = await run(`
    const model = await load();
    const sessions = [];
    const one = async () => {
      const session = await model.createSession({ system: 'You are a terse assistant.' });
      session.on('state', () => session.messages);
      await session.close();
      sessions.push(new WeakRef(session));
    };
    for (let i = 0; i < 10; i++) await one();
    console.log(await collected(async () => {
      const none = sessions.every((each) => each.deref() === undefined);
      await pause(1); // what was looked at lives until then
      return none;
    }));
    await model.close();`);
  expect(ending).toMatchObject({ ...good, stdout: 'true\n' });
});

test('a session that is dropped while its turn runs finishes the turn first', async () => {
  const ending = await run(`
    const model = await load();
    await (async () => {
      const session = await model.createSession({ id: 'dropped' });
      session.send('Tell me a story.', { ...LONG, maxTokens: 400 }).then((reply) => console.log(reply.finishReason, reply.usage.generatedTokens));
    })();
    console.log(await collected(() => model.stats().openSessions === 0));
    console.log((await model.resumeSession('dropped')).messages.map((message) => message.role + (message.interrupted ? '!' : '')).join());
    await model.close();`);
  expect(ending).toMatchObject({ ...good, stdout: 'length 400\ntrue\nuser,assistant\n' });
});

test('a turn that nobody holds changes the conversation all the same', async () => {
  const ending = await run(`
    const model = await load();
    const session = await model.createSession();
    (() => { session.send('Tell me a story.', { ...LONG, maxTokens: 400 }); })();
    console.log(await collected(() => session.state === 'idle'), session.messages.length);
    await model.close();`);
  expect(ending).toMatchObject({ ...good, stdout: 'true 2\n' });
});

test('getSession() finds a session whose handle was dropped a moment ago', async () => {
  const ending = await run(`
    const model = await load();
    await (async () => { await (await model.createSession({ id: 'held' })).send('My name is Mosoba.'); })();
    let session = model.getSession('held');
    for (let i = 0; i < 20; i++) { gc(); await pause(5); }
    console.log(session.state, model.getSession('held') === session, model.stats().openSessions);
    await model.close();`);
  expect(ending).toMatchObject({ ...good, stdout: 'idle true 1\n' });
});

test('a dropped model ends its engine: thread and memory come back', async () => {
  const ending = await run(`
    import { readdirSync, readFileSync } from 'node:fs';
    const threads = () => readdirSync('/proc/self/task').length;
    const use = async () => {
      const model = await load({ contextTokens: 65536 });
      const session = await model.createSession();
      await session.send('My name is Mosoba.');
    };
    await use();
    for (let i = 0; i < 20; i++) { gc(); await pause(5); }
    const before = { threads: threads(), rss: process.memoryUsage.rss() };
    for (let i = 0; i < 6; i++) await use();
    const ended = await collected(() => threads() <= before.threads);
    console.log(JSON.stringify({ ended, mib: (process.memoryUsage.rss() - before.rss) / 2 ** 20 }));`);
  expect(ending).toMatchObject(good);
  const { ended, mib } = JSON.parse(ending.stdout) as { ended: boolean; mib: number };
  expect(ended).toBe(true);
  // Six of them would hold 768 MiB of KV.
  expect(mib).toBeLessThan(150);
});

test('a dropped model with a running turn lives until the turn has ended', async () => {
  const ending = await run(`
    await (async () => {
      const model = await load();
      const session = await model.createSession();
      session.send('Tell me a story.', { ...LONG, maxTokens: 600 }).then((reply) => console.log(reply.finishReason, reply.usage.generatedTokens));
    })();
    for (let i = 0; i < 50; i++) { gc(); await pause(5); }`);
  expect(ending).toMatchObject({ ...good, stdout: 'length 600\n' });
});

test('models that are dropped while they load, or after they failed to, are no trouble', async () => {
  const ending = await run(`
    (() => { for (let i = 0; i < 4; i++) load(); })();
    await (async () => { for (let i = 0; i < 4; i++) await loadModel('/nowhere.gguf').catch((error) => console.log(error.code)); })();
    for (let i = 0; i < 60; i++) { gc(); await pause(10); }
    console.log('survived');`);
  expect(ending).toMatchObject({ ...good, stdout: 'MODEL_NOT_FOUND\n'.repeat(4) + 'survived\n' });
});

test('a dropped model lets go of the sessions that it had claimed', async () => {
  const ending = await run(`
    import { mkdtempSync, rmSync } from 'node:fs';
    import { tmpdir } from 'node:os';
    import { join } from 'node:path';
    const store = mkdtempSync(join(tmpdir(), 'dropped-'));
    await (async () => {
      const model = await load({ store });
      const session = await model.createSession({ id: 'claimed' });
      await session.send('My code is 1009.');
    })();
    const model = await load({ store });
    const resume = () => model.resumeSession('claimed').then(() => 'resumed', (error) => error.code);
    console.log(await resume(), await collected(async () => (await resume()) === 'resumed'));
    await model.close();
    rmSync(store, { recursive: true });`);
  expect(ending).toMatchObject({ ...good, stdout: 'SESSION_CONFLICT true\n' });
});

test('a session keeps its model alive', async () => {
  const ending = await run(`
    const session = await (async () => (await load()).createSession())();
    for (let i = 0; i < 30; i++) { gc(); await pause(5); }
    console.log((await session.send('Count from 3 to 9.', { sampling: { temperature: 0 } })).text);`);
  expect(ending).toMatchObject({ ...good, stdout: '3 4 5 6 7 8 9\n' });
});

test('a dropped RedisStore lets go of what it has claimed', async () => {
  const server = await new RedisProcess().start();
  onTestFinished(() => server.stop());
  const ending = await run(`
    const { createClient } = await import('redis');
    const { RedisStore } = await import('llama-sessions');
    const client = await createClient({ socket: { path: ${JSON.stringify(server.path)} } }).connect();
    const claims = async () => (await client.keys('*')).length;
    await (async () => { await new RedisStore(client).claim('ann', false); })();
    console.log(await claims(), await collected(async () => (await claims()) === 0));
    client.destroy();`);
  expect(ending).toMatchObject({ ...good, stdout: '1 true\n' });
});
