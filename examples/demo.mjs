/**
 * npm run demo: six conversations on one model at the same time. One is cancelled, all are saved, the process ends, and
 * another process asks each of them what it was told.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadModel } from 'llama-sessions';
import { bold, dim, green, red, Screen } from './screen.mjs';

/** 2 MB, made for tests: all it can is to remember what its conversation said. */
const MODEL = fileURLToPath(new URL('../test/fixtures/recall.gguf', import.meta.url));

const PEOPLE = [
  { name: 'Ada', city: 'Oslo', code: '4711' },
  { name: 'Bruno', city: 'Lima', code: '2039' },
  { name: 'Carol', city: 'Cairo', code: '8850', cancelAfter: 32 },
  { name: 'Dave', city: 'Quito', code: '1364' },
  { name: 'Erin', city: 'Hanoi', code: '9027' },
  { name: 'Frank', city: 'Porto', code: '5518' },
];

/** The first process: tells, streams, cancels, saves. */
async function tell(store) {
  const model = await loadModel(MODEL, { store });
  const { description, devices } = model.info;
  console.log(
    `${bold('One model')}: ${description} on ${devices.join(', ')}. ${bold('Six sessions')} on it, all at once:\n`,
  );

  const sessions = await Promise.all(
    PEOPLE.map(async ({ name, city }) => {
      const session = await model.createSession({ id: name, sampling: { temperature: 0 } });
      await session.send(`My name is ${name}.`);
      await session.send(`I live in ${city}.`);
      return session;
    }),
  );
  const screen = new Screen(PEOPLE.map(({ name }) => name));
  const before = { ...model.stats(), time: performance.now() };
  const stories = await Promise.all(
    sessions.map(async (session, row) => {
      const show = (text) => screen.write(row, text);
      await stream(session.send(`My code is ${PEOPLE[row].code}.`), show);
      show(' / ');
      const story = await stream(session.send('Tell me a story.'), show, PEOPLE[row].cancelAfter);
      show(story.finishReason === 'stop' ? '' : ` [${story.finishReason}]`);
      return story;
    }),
  );
  const after = { ...model.stats(), time: performance.now() };
  await screen.show();

  const grown = (name) => after[name] - before[name];
  const tokens = grown('generatedTokens');
  const seconds = grown('time') / 1000;
  const together = grown('generatedSequences') / grown('generateSteps');
  const rate = Math.round(tokens / seconds);
  console.log(
    `\n${tokens} tokens in ${seconds.toFixed(2)} s: ${rate} tokens/s, ${together.toFixed(1)} sequences per step`,
  );

  for (const session of sessions) await session.save();
  await model.close();
  const asPlanned = stories.every(
    ({ finishReason }, row) => finishReason === (PEOPLE[row].cancelAfter === undefined ? 'stop' : 'cancelled'),
  );
  return verdict(asPlanned, 'One story cancelled, the others untouched, all sessions saved.');
}

async function stream(turn, show, cancelAfter) {
  let pieces = 0;
  for await (const piece of turn) {
    show(piece.text);
    if (++pieces === cancelAfter) turn.cancel();
  }
  return turn; // resolves with the reply
}

/** The second process: opens the store anew and asks. */
async function ask(store) {
  const model = await loadModel(MODEL, { store });
  const answers = await Promise.all(
    PEOPLE.map(async ({ name, city, code }) => {
      const session = await model.resumeSession(name);
      const who = await session.send('What is my name?');
      const where = await session.send('Where do I live?');
      const which = await session.send('What is my code?');

      const remembers = who.text.includes(name) && where.text.includes(city) && which.text.includes(code);
      const { promptTokens, cachedTokens } = who.usage;
      const skipped = cachedTokens > 0 && promptTokens - cachedTokens < 25; // no more than the question itself
      const said = [who, where, which].map(({ text }) => text).join(' ');
      return {
        good: remembers && skipped,
        text: `${said} ${dim(`(${cachedTokens} of ${promptTokens} tokens cached)`)}`,
      };
    }),
  );
  await model.close();
  return answers.map(({ good, text }) => verdict(good, text)).every(Boolean);
}

function verdict(good, text) {
  console.log(`${good ? green('✓') : red('✗')} ${text}`);
  return good;
}

async function restarted(store) {
  console.log(`\n${bold('The process ends. Another one asks')} what each session was told:\n`);
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), store], { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  return code === 0;
}

const [given] = process.argv.slice(2);
if (given !== undefined) {
  process.exitCode = (await ask(given)) ? 0 : 1;
} else {
  const store = await mkdtemp(join(tmpdir(), 'llama-sessions-demo-'));
  try {
    const told = await tell(store);
    const remembered = await restarted(store);
    console.log(told && remembered ? green('\nAll right.') : red('\nSomething is wrong: see above.'));
    process.exitCode = told && remembered ? 0 : 1;
  } finally {
    await rm(store, { recursive: true });
  }
}
