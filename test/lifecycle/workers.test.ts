/** Models in worker threads, which end at any moment: each environment stops its own engines (R6, R9). */
import { describe, expect, test } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { audit } from '../support/audit.js';
import { runChild } from '../support/child.js';
import { folder } from '../support/models.js';
import { RECALL } from '../support/recall.js';

const good = { code: 0, signal: null, stderr: '' };

test('the main thread and two workers load one file and talk at once', async () => {
  const ending = await runChild(`
    const talk = \`
      const model = await load();
      const session = await model.createSession();
      const turns = ['My name is Mosoba.', 'What is my name?'].map((text) => session.send(text, { sampling: { temperature: 0 } }));
      say((await Promise.all(turns)).at(-1).text);
      await model.close();\`;
    const answers = [];
    const workers = [work(talk), work(talk)];
    for (const worker of workers) worker.on('message', (answer) => answers.push(answer));
    const model = await load();
    const session = await model.createSession();
    await session.send('My name is Kabela.', { sampling: { temperature: 0 } });
    answers.push((await session.send('What is my name?', { sampling: { temperature: 0 } })).text);
    const codes = await Promise.all(workers.map(exited));
    console.log(codes.join(), answers.sort().join('|'));`);
  expect(ending).toMatchObject({
    ...good,
    stdout: '0,0 Your name is Kabela.|Your name is Mosoba.|Your name is Mosoba.\n',
  });
});

test.runIf(process.platform === 'linux')('the addon stays when the last worker that uses it ends', async () => {
  const ending = await runChild(`
    import { readFileSync } from 'node:fs';
    const loaded = () => readFileSync('/proc/self/maps', 'utf8').includes('llama_sessions.node');
    const before = loaded();
    await exited(work(\`
      const { mkdtempSync } = await import('node:fs');
      const store = new DirectoryStore(mkdtempSync('/tmp/stays-'));
      await store.getRecord('a');
      await store.close();\`));
    console.log(before, loaded());`);
  expect(ending).toMatchObject({ ...good, stdout: 'false true\n' });
});

test('a worker with an idle model ends by itself (R5)', async () => {
  const ending = await runChild(`
    const worker = work(\`const model = await load(); await (await model.createSession()).send('Count from 3 to 9.');\`);
    console.log(await exited(worker));`);
  expect(ending).toMatchObject({ ...good, stdout: '0\n' });
});

test('a worker with a running turn ends after it', async () => {
  const ending = await runChild(`
    const worker = work(\`
      const model = await load();
      (await model.createSession()).send('Tell me a story.', { ...LONG, maxTokens: 300 }).then((reply) => say(reply.finishReason));\`);
    worker.on('message', (message) => console.log(message));
    console.log(await exited(worker));`);
  expect(ending).toMatchObject({ ...good, stdout: 'length\n0\n' });
});

describe('terminate()', () => {
  const moments: Record<string, string> = {
    'while it loads': `
      say('go');
      await load({ contextTokens: 65536 });`,
    'with an idle model': `
      globalThis.model = await load();
      say('go');
      await pause(60_000);`,
    'while it generates': `
      const model = await load();
      const turn = (await model.createSession()).send('Tell me a story.', LONG);
      await spoken(model);
      say('go');
      await turn;`,
    'in a loop over the pieces': `
      const model = await load();
      say('go');
      for (;;) for await (const piece of (await model.createSession()).send('Tell me a story.', LONG)) globalThis.piece = piece;`,
    'in a busy loop beside a turn': `
      const model = await load();
      const turn = (await model.createSession()).send('Tell me a story.', LONG);
      await spoken(model);
      say('go');
      for (;;);`,
    'while a prompt is read': `
      const model = await load({ batchTokens: 1 });
      const turn = (await model.createSession()).complete(PROMPT);
      await until(() => model.stats().prefilledTokens > 5);
      say('go');
      await turn;`,
    'while a text is tokenised': `
      const model = await load();
      const turn = (await model.createSession()).complete('Once there was a small robot. '.repeat(20_000));
      say('go');
      await turn;`,
    'while it saves and parks': `
      const model = await load();
      const sessions = [];
      for (let i = 0; i < 4; i++) {
        const session = await model.createSession();
        await session.complete(PROMPT.slice(0, 300), { maxTokens: 1 });
        sessions.push(session);
      }
      say('go');
      for (;;) {
        await Promise.all(sessions.map((session) => Promise.all([session.save(), session.park()])));
        await Promise.all(sessions.map((session) => session.complete(PROMPT.slice(0, 300), { maxTokens: 2 })));
      }`,
    // Node frees that memory before it lets anybody know that the worker ends.
    'while KV is copied from memory of its': `
      const { Engine } = await import(${JSON.stringify(new URL('../../dist/engine.js', import.meta.url).href)});
      const engine = new Engine(() => undefined);
      const room = { contextTokens: 4096, sequences: 2, batchTokens: 512, unified: true, kvType: 'f16', memory: 0 };
      await engine.open({ path: ${JSON.stringify(RECALL)}, gpuLayers: 0, threads: 1, speculation: false, ...room });
      const tokens = Int32Array.from(PROMPT);
      const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repeatPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };
      const bias = { biasTokens: new Int32Array(0), biasValues: new Float64Array(0) };
      const turn = { sequence: 0, tokens, maxTokens: 1, seed: 0, grammar: '', stop: [], ignoreEog: true, ...sampling, ...bias };
      await new Promise((end) => engine.submit(turn, { push() {} }, end));
      const kv = await engine.exportKv(0, 0, tokens.length);
      await engine.clearSequence(0);
      say('go');
      for (;;) {
        const copies = Array.from({ length: 50 }, () => [engine.clearSequence(1), engine.importKv(1, 0, tokens, kv, true)]);
        await Promise.all(copies.flat());
      }`,
    'while it closes': `
      const model = await load();
      const turn = (await model.createSession()).send('Tell me a story.', LONG);
      await spoken(model);
      say('go');
      await model.close();`,
  };

  test.each(Object.entries(moments))('%s, and again', async (_, body) => {
    const ending = await runChild(`
      for (let i = 0; i < 4; i++) {
        const worker = work(${JSON.stringify(body)});
        await said(worker, 'go');
        await pause([0, 2, 10, 40][i]);
        await worker.terminate();
      }
      console.log('survived');`);
    expect(ending).toMatchObject({ ...good, stdout: 'survived\n' });
  });
});

test('terminate() 60 times while a directory is opened, read, written and closed', async () => {
  const path = await folder();
  const ending = await runChild(`
    for (let i = 0; i < 60; i++) {
      const worker = work(\`
        for (let version = 0; ; ) {
          const store = new DirectoryStore(${JSON.stringify(path)});
          for (let page = 0; page < 20; page++) {
            const name = '\${i}.' + page;
            version = await store.putRecord('\${i}', Buffer.alloc(2000), { expected: version, pages: [name] });
            if (version === 1) say('go');
            await store.putPage(name, Buffer.alloc(2000));
            await store.getPage(name);
            for await (const record of store.listRecords({ limit: 10 })) globalThis.record = record;
          }
          await store.close();
        }\`);
      await said(worker, 'go');
      await pause(i / 2);
      await worker.terminate();
    }
    console.log('survived');`);
  expect(ending).toMatchObject({ ...good, stdout: 'survived\n' });
  const store = new DirectoryStore(path);
  await store.sweep();
  await store.close();
  await audit(path);
});

describe('a worker that ends itself in the middle', () => {
  test.each(['while it loads', 'while it generates'])('process.exit() %s', async (moment) => {
    const before =
      moment === 'while it loads'
        ? `load();`
        : `globalThis.model = await load(); (await model.createSession()).send('Tell me a story.', LONG); await spoken(model);`;
    const ending = await runChild(`
      const model = await load();
      console.log(await exited(work(${JSON.stringify(before + 'process.exit(5);')})));
      // The others live on.
      console.log((await (await model.createSession()).send('Count from 3 to 9.', { sampling: { temperature: 0 } })).text);`);
    expect(ending).toMatchObject({ ...good, stdout: '5\n3 4 5 6 7 8 9\n' });
  });

  test('an exception while it generates', async () => {
    const ending = await runChild(`
      const worker = work(\`
        const model = await load();
        (await model.createSession()).send('Tell me a story.', LONG);
        await spoken(model);
        setImmediate(() => { throw new Error('out of the blue'); });
        await pause(60_000);\`);
      worker.on('error', (error) => console.log(error.message));
      console.log(await exited(worker));`);
    expect(ending).toMatchObject({ ...good, stdout: 'out of the blue\n1\n' });
  });
});

test('process.exit() of the main thread while workers generate', async () => {
  const ending = await runChild(`
    const body = \`
      const model = await load();
      const turn = (await model.createSession()).send('Tell me a story.', LONG);
      await spoken(model);
      say('go');
      await turn;\`;
    const workers = [work(body), work(body)];
    await Promise.all(workers.map((worker) => said(worker, 'go')));
    process.exit(7);`);
  expect(ending).toMatchObject({ ...good, code: 7 });
});

test('ten workers, one after the other, leave neither threads nor memory behind', async () => {
  const ending = await runChild(`
    import { readdirSync } from 'node:fs';
    const threads = () => readdirSync('/proc/self/task').length;
    const round = async (end) => {
      const worker = work(\`
        const model = await load({ contextTokens: 65536 });
        const turn = (await model.createSession()).send('Tell me a story.', LONG);
        await spoken(model);
        say('go');
        await turn;\`);
      await said(worker, 'go');
      await worker.terminate();
    };
    // The first ones fill pools of their own: libuv's threads, malloc's arenas.
    for (let i = 0; i < 3; i++) await round();
    const before = { threads: threads(), rss: process.memoryUsage.rss() };
    for (let i = 0; i < 10; i++) await round();
    console.log(JSON.stringify({ threads: threads() - before.threads, mib: (process.memoryUsage.rss() - before.rss) / 2 ** 20 }));`);
  expect(ending).toMatchObject(good);
  const growth = JSON.parse(ending.stdout) as { threads: number; mib: number };
  expect(growth.threads).toBe(0);
  // One model's KV alone is 128 MiB.
  expect(growth.mib).toBeLessThan(100);
});
