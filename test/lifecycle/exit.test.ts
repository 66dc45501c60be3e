/** How a process ends while the engine works. A crash shows as a signal, a hang as SIGKILL at the deadline. */
import { describe, expect, test } from 'vitest';
import { runChild } from '../support/child.js';

const clean = { signal: null, stderr: '' };
/** A turn that generates. */
const SPEAKING = `
  const model = await load();
  const turn = (await model.createSession()).send('Tell me a story.', LONG);
  await spoken(model);`;

describe('process.exit()', () => {
  const moments: Record<string, string> = {
    'before anything is loaded': `const loading = load(); process.exit(7);`,
    'right after the load began': `const loading = load(); setImmediate(() => process.exit(7)); await loading;`,
    'while the weights are read': `await load({ onProgress: () => process.exit(7) });`,
    'with an idle model': `await load(); process.exit(7);`,
    'while a turn generates': `
      ${SPEAKING}
      process.exit(7);`,
    'in a loop over the pieces': `
      const model = await load();
      for await (const piece of (await model.createSession()).send('Tell me a story.', LONG)) process.exit(7);`,
    'while a prompt is read': `
      const model = await load({ batchTokens: 1 });
      const turn = (await model.createSession()).complete(PROMPT);
      await until(() => model.stats().prefilledTokens > 5);
      process.exit(7);`,
    'while a text is tokenised on the pool': `
      const model = await load();
      const turn = (await model.createSession()).complete('Once there was a small robot. '.repeat(40_000));
      setTimeout(() => process.exit(7), 5);`,
    'with turns in the queue': `
      const model = await load({ maxResident: 2 });
      for (let i = 0; i < 20; i++) (await model.createSession()).send('Tell me a story.', LONG);
      await spoken(model);
      process.exit(7);`,
    'while KV is copied': `
      const model = await load();
      const session = await model.createSession();
      await session.complete(PROMPT, { maxTokens: 1 });
      session.save();
      session.park();
      setImmediate(() => process.exit(7));`,
    'while the model closes': `
      ${SPEAKING}
      model.close();
      process.exit(7);`,
    'in a listener that was there before ours': `
      process.on('exit', () => process.exit(7));
      ${SPEAKING}
      process.exit(3);`,
    'where nobody listens any more': `
      ${SPEAKING}
      process.removeAllListeners('exit');
      process.exit(7);`,
    'after it was closed': `const model = await load(); await model.close(); process.exit(7);`,
  };
  test.each(Object.entries(moments))('%s', async (_, script) => {
    expect(await runChild(script)).toMatchObject({ ...clean, code: 7 });
  });
});

test('an uncaught exception ends the process with code 1, and no crash', async () => {
  const ending = await runChild(`
    ${SPEAKING}
    setImmediate(() => { throw new Error('out of the blue'); });
    await turn;`);
  expect(ending).toMatchObject({ code: 1, signal: null });
  expect(ending.stderr).toContain('out of the blue');
});

describe('a natural end (R5)', () => {
  test('an idle model does not keep the process', async () => {
    const ending = await runChild(`
      const model = await load();
      const session = await model.createSession();
      await session.send('My name is Mosoba.');
      await session.park();
      console.log('idle');`);
    expect(ending).toMatchObject({ ...clean, code: 0, stdout: 'idle\n' });
  });

  test('a turn keeps the process until it has ended', async () => {
    const ending = await runChild(`
      const model = await load();
      const turn = (await model.createSession()).send('Tell me a story.', { ...LONG, maxTokens: 500 });
      turn.then((reply) => console.log(reply.finishReason, reply.usage.generatedTokens));`);
    expect(ending).toMatchObject({ ...clean, code: 0, stdout: 'length 500\n' });
  });

  test('queued turns do as well', async () => {
    const ending = await runChild(`
      const model = await load({ maxResident: 1 });
      for (let i = 0; i < 5; i++) {
        const session = await model.createSession();
        session.send('Count from 3 to 9.').then(() => console.log(i));
      }`);
    expect(ending).toMatchObject({ ...clean, code: 0, stdout: '0\n1\n2\n3\n4\n' });
  });

  test('a load does as well', async () => {
    const ending = await runChild(`load().then(() => console.log('loaded'));`);
    expect(ending).toMatchObject({ ...clean, code: 0, stdout: 'loaded\n' });
  });

  test('beforeExit comes once the turns are done', async () => {
    const ending = await runChild(`
      process.on('beforeExit', () => console.log('beforeExit'));
      const model = await load();
      (await model.createSession()).send('Count from 3 to 9.').then(() => console.log('replied'));`);
    expect(ending).toMatchObject({ ...clean, code: 0, stdout: 'replied\nbeforeExit\n' });
  });
});

describe('signals', () => {
  const talking = `
    ${SPEAKING}
    console.log('talking');`;

  test.each(['SIGTERM', 'SIGINT'] as const)('%s does what it does by default', async (signal) => {
    const ending = await runChild(talking, { onOutput: (_, child) => child.kill(signal) });
    expect(ending).toMatchObject({ code: null, signal });
  });

  test('a listener for SIGTERM can close the model first', async () => {
    const script = `
      process.once('SIGTERM', async () => { await model.close(); console.log('closed'); });
      ${talking}
      await turn.catch((error) => console.log(error.code));`;
    const ending = await runChild(script, {
      onOutput: (output, child) => output === 'talking\n' && child.kill('SIGTERM'),
    });
    expect(ending).toMatchObject({ ...clean, code: 0 });
    expect(ending.stdout.split('\n').sort()).toEqual(['', 'MODEL_CLOSED', 'closed', 'talking']);
  });
});
