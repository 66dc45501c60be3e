import { fileURLToPath } from 'node:url';
import { interleave, median, round } from '../measure.mjs';
import { progress } from '../report.mjs';
import { arrivalsOf, commonRate, deleteSessions, greedy, openModel, openSessions, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {import('../sessions.mjs').Model} Model */
/** @typedef {import('../sessions.mjs').Session} Session */
/** @typedef {import('../../dist/index.js').Turn} Turn */
/** @typedef {import('../../dist/index.js').TurnOptions} TurnOptions */

export const about = 'tokens per second with prompt lookup, beside the same without';

const RECALL = fileURLToPath(new URL('../../test/fixtures/recall.gguf', import.meta.url));
const SYLLABLES = 'ba dro ke lu mo ni ra vo shai brot'.split(' ');
const PROMPT_TOKENS = 64;
const LEAST = 0.97;
const FEW = Array.from({ length: 16 }, (_, i) => 1000 + i);

/**
 * @typedef {object} Text
 * @property {string} name
 * @property {string} [model] absent: the one that was asked for
 * @property {number} alone what one session has to gain
 * @property {(session: Session, model: Model, i: number) => (options: TurnOptions) => Turn} say
 */

/** @type {Text[]} */
const TEXTS = [
  {
    name: 'quotes its input (recall model)',
    model: RECALL,
    alone: 1.5,
    say: (session, _model, i) => (options) => session.send(`Repeat after me: ${words(i)}`, options),
  },
  {
    name: 'repeats itself', // as few different tokens do soon
    alone: 1.5,
    say: (session, model, i) => (options) =>
      session.complete(promptTokens(model, PROMPT_TOKENS, i), {
        ...options,
        sampling: { temperature: 0, logitBias: Object.fromEntries(FEW.map((token) => [token, 1000])) },
      }),
  },
  {
    name: 'repeats itself now and then', // greedy replies of random weights do
    alone: LEAST,
    say: (session, model, i) => (options) => session.complete(promptTokens(model, PROMPT_TOKENS, i), options),
  },
  {
    name: 'never repeats itself',
    alone: LEAST,
    say: (session, model, i) => (options) =>
      session.complete(promptTokens(model, PROMPT_TOKENS, i), {
        ...options,
        sampling: { temperature: 1, topK: 0, topP: 1, minP: 0, seed: i },
      }),
  },
];

/** @param {number} i */
function words(i) {
  return Array.from({ length: 40 }, (_, k) => SYLLABLES[(k * k + 7 * i + 3 * k) % SYLLABLES.length]).join(' ');
}

/** @param {Settings} settings */
export async function run(settings) {
  const rows = [];
  /** @type {Record<string, boolean>} */
  const goals = {};
  for (const text of TEXTS) {
    for (const sessions of settings.sessions ?? (settings.quick ? [1, 4] : [1, 2, 4, 8])) {
      progress(`speculation: ${sessions} sessions, text that ${text.name}`);
      const { on, off } = await measure({ ...settings, model: text.model ?? settings.model }, text, sessions);
      const ratio = median(on.map(({ rate }) => rate)) / median(off.map(({ rate }) => rate));
      const drafted = median(on.map((each) => each.drafted));
      rows.push({
        text: text.name,
        sessions,
        'on tok/s': round(median(on.map(({ rate }) => rate)), 1),
        'off tok/s': round(median(off.map(({ rate }) => rate)), 1),
        ratio: round(ratio, 3),
        'drafted per token': round(drafted, 2),
        'accepted of these': round(median(on.map((each) => each.accepted)) / drafted, 2),
        'all ratios': on.map(({ rate }, i) => round(rate / off[i].rate, 2)).join(' '),
      });
      const goal = sessions === 1 ? text.alone : LEAST;
      goals[`${text.name}, ${sessions}: at least ${goal} times`] = ratio >= goal;
    }
  }
  return { rows, goals };
}

/**
 * @param {Settings} settings
 * @param {Text} text
 * @param {number} count
 */
async function measure(settings, text, count) {
  // Of many sessions fewer tokens each: a run takes about as long.
  const maxTokens = text.model ? 512 : settings.quick || count > 2 ? 128 : 256;
  const contextTokens = count * (2 * PROMPT_TOKENS + maxTokens) + 1024;
  const open = (/** @type {'auto' | 'off'} */ speculation) =>
    openModel(settings, { maxResident: count, contextTokens, speculation });
  const models = { on: await open('auto'), off: await open('off') };
  const speak = (/** @type {Model} */ model) => generate(model, text, count, maxTokens);
  await speak(models.on); // both have learnt how long steps take
  await speak(models.off);
  const results = await interleave(settings.repetitions, {
    on: () => speak(models.on),
    off: () => speak(models.off),
  });
  await Promise.all([models.on.close(), models.off.close()]);
  return results;
}

/**
 * @param {Model} model
 * @param {Text} text
 * @param {number} count
 * @param {number} maxTokens
 */
async function generate(model, text, count, maxTokens) {
  const sessions = await openSessions(model, count);
  const before = model.stats();
  const replies = await Promise.all(
    sessions.map((session, i) => arrivalsOf(text.say(session, model, i)(greedy(maxTokens)))),
  );
  const after = model.stats();
  await deleteSessions(sessions);
  const per = (/** @type {string} */ name) =>
    (after[name] - before[name]) / (after.generatedTokens - before.generatedTokens);
  return { rate: commonRate(replies), drafted: per('draftedTokens'), accepted: per('acceptedTokens') };
}
