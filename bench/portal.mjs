/**
 * One process of the case `sessions`: tells many sessions who they are, or asks them. It talks to its parent in messages, and
 * is killed by it, or ends by itself.
 *
 *     node portal.mjs tell|ask MODEL STORE SESSIONS SEED
 */
import { parseArgs } from 'node:util';
import { loadModel } from '../dist/index.js';

const { positionals } = parseArgs({ allowPositionals: true });
const [task, modelPath, store, count, seed] = positionals;
const sessions = Number(count);

/** Sessions that have something under way; the engine serves 32 of them at a time. */
const AT_ONCE = 128;
const GREEDY = { sampling: { temperature: 0 }, maxTokens: 32 };

const CONSONANTS = 'b c d f g h k l m n p r s t v w z br dr gr kr tr st'.split(' ');
const VOWELS = 'a e i o u ai ee ou'.split(' ');
const SYLLABLES = CONSONANTS.flatMap((consonant) => VOWELS.map((vowel) => consonant + vowel));

/** A word that nobody else has, among some 30,000. @param {number} index @param {number} attempt */
function nameOf(index, attempt) {
  const number = ((index + attempt * 10_000) * 7919) % SYLLABLES.length ** 2;
  const word = SYLLABLES[number % SYLLABLES.length] + SYLLABLES[Math.floor(number / SYLLABLES.length)];
  return word[0].toUpperCase() + word.slice(1);
}

/** Five digits that nobody else has. @param {number} index */
const codeOf = (index) => String(10000 + ((index * 7) % 90000));

/** @param {number} index */
const idOf = (index) => `user ${index}`;

/** In an order of its own for each seed. @param {number} length */
function shuffled(length) {
  const order = Array.from({ length }, (_, i) => i);
  let state = Number(seed) >>> 0;
  for (let i = length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

const model = await loadModel(modelPath, {
  threads: 1,
  maxResident: 32,
  contextTokens: 8192,
  store,
  durability: 'everysec',
  cache: { ramBytes: 256 * 2 ** 20, restore: 'always' },
});

/** What a session has to say. @param {Readonly<Record<string, string>>} facts */
const wanted = ({ name, code }) => [`Your name is ${name}.`, `Your code is ${code}.`];

/** @param {import('../dist/index.js').Session} session */
async function question(session) {
  const name = await session.send('What is my name?');
  const code = await session.send('What is my code?');
  return { said: [name.text, code.text], timings: name.timings };
}

/**
 * The model, which is very small, confuses one name in two thousand: a fork is asked at once, and such a name is not used.
 * @param {number} index
 */
async function tell(index) {
  for (let attempt = 0; ; attempt++) {
    const metadata = { name: nameOf(index, attempt), code: codeOf(index) };
    const session = await model.createSession({ id: idOf(index), metadata, ...GREEDY });
    await session.send(`My name is ${metadata.name}.`);
    await session.send(`My code is ${metadata.code}.`);
    const fork = await session.fork();
    const { said } = await question(fork);
    await fork.delete();
    if (said.join() === wanted(metadata).join()) return { index };
    await session.delete();
  }
}

/** @param {number} index */
async function ask(index) {
  const session = await model.resumeSession(idOf(index));
  const { said, timings } = await question(session);
  return { index, said, wanted: wanted(session.metadata), restoreMs: timings.restoreMs };
}

/** @type {unknown[]} */
let news = [];
/** @param {object} [more] */
function report(more) {
  const { rss } = process.memoryUsage();
  process.send?.({ news, rss, ...more });
  news = [];
}
const reporting = setInterval(report, 200);

const order = shuffled(sessions);
const work = task === 'tell' ? tell : ask;
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let index = order.pop(); index !== undefined; index = order.pop()) {
      const told = await work(index);
      news.push(told); // not before it is there: `news` is another array by then
    }
  }),
);
clearInterval(reporting);
report({ done: true, stats: model.stats() });
if (task === 'ask') {
  await model.close();
  process.disconnect?.();
}
