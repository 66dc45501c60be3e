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

const CONSONANTS = 'b c d f g h j k l m n p r s t v w z br dr gr kr tr st'.split(' ');
const VOWELS = 'a e i o u'.split(' ');

/** A word of three syllables that nobody else has. @param {number} index */
function nameOf(index) {
  const syllables = CONSONANTS.flatMap((consonant) => VOWELS.map((vowel) => consonant + vowel));
  let word = '';
  for (let i = 0, rest = index * 7919 + 1; i < 3; i++, rest = Math.floor(rest / syllables.length)) {
    word += syllables[rest % syllables.length];
  }
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

/** @param {number} index */
async function tell(index) {
  const session = await model.createSession({ id: idOf(index), ...GREEDY });
  await session.send(`My name is ${nameOf(index)}.`);
  await session.send(`My code is ${codeOf(index)}.`);
  return { index };
}

/** @param {number} index */
async function ask(index) {
  const session = await model.resumeSession(idOf(index));
  const name = await session.send('What is my name?');
  const code = await session.send('What is my code?');
  return {
    index,
    said: [name.text, code.text],
    wanted: [`Your name is ${nameOf(index)}.`, `Your code is ${codeOf(index)}.`],
    restoreMs: name.timings.restoreMs,
    cached: name.usage.cachedTokens / name.usage.promptTokens,
  };
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
    for (let index = order.pop(); index !== undefined; index = order.pop()) news.push(await work(index));
  }),
);
clearInterval(reporting);
report({ done: true, stats: model.stats() });
if (task === 'ask') {
  await model.close();
  process.disconnect?.();
}
