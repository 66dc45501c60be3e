/**
 * A process of its own for one measurement of one contestant: nothing it leaves behind meets the next one. What it finds is one
 * line on stdout that begins with MARK; whatever else a library prints there is none of ours.
 *
 *     node contestant.mjs '{"name": "ours", "task": "throughput", "open": {…}, "with": {…}}'
 */
import { pathToFileURL } from 'node:url';
import { promptText } from './arrivals.mjs';

/**
 * @typedef {object} OpenOptions
 * @property {string} model path of the file
 * @property {number} threads
 * @property {number} batchTokens
 * @property {number} sequences turns that run at once
 * @property {number} tokensEach cells of KV for each of them
 * @property {'unified' | 'streams'} [kvLayout] ours only
 * @property {string} [folder] for what is saved
 * @property {boolean} [quiet] the JavaScript thread's time is counted: nothing but pieces may wake it
 *
 * @typedef {object} TurnOptions
 * @property {number} slot 0 to sequences - 1: turns of one slot never overlap
 * @property {string} prompt
 * @property {number} maxTokens
 * @property {(tokens: number) => void} onPiece
 * @property {AbortSignal} [signal] cancels
 *
 * @typedef {object} Contestant
 * @property {string} version
 * @property {boolean} queues takes more turns than it has sequences
 * @property {(text: string) => Promise<number>} count tokens
 * @property {(turn: TurnOptions) => Promise<void>} speak greedy, past end tokens; resolves when it has ended or was cancelled
 * @property {(prompt: string) => Promise<Moved>} [move] a session with this prompt: saved, forgotten, restored
 * @property {() => number} [threads] that the last step used, where that may be fewer than it was given
 * @property {() => Promise<void>} close
 *
 * @typedef {Contestant & { text: (seed: number, tokens: number) => string }} Prepared `text`: a prompt of about so many tokens
 *
 * @typedef {{ saveMs: number, restoreMs: number, bytes: number }} Moved
 *
 * @typedef {object} Assignment
 * @property {string} name of a file in rivals/
 * @property {string} task of tasks.mjs
 * @property {OpenOptions} open
 * @property {object} with what the task takes
 */

export const MARK = 'BENCH ';
const SAMPLE = 500;

/** @param {Assignment} assignment */
async function work({ name, task, open: options, with: settings }) {
  const tasks = await import('./tasks.mjs');
  const { open } = await import(`./rivals/${name}.mjs`);
  const opening = await tasks.watchLoop();
  const began = performance.now();
  /** @type {Contestant} */
  const contestant = await open(options);
  const openMs = performance.now() - began;
  const opened = await opening();
  await contestant.speak({ slot: 0, prompt: 'One two three', maxTokens: 4, onPiece: () => undefined }); // pages the weights in
  // Small vocabularies spell a word with several tokens.
  const perWord = Math.max(1, (await contestant.count(promptText(0, SAMPLE))) / SAMPLE);
  const text = (/** @type {number} */ seed, /** @type {number} */ tokens) =>
    promptText(seed, Math.round(tokens / perWord));
  const found = await /** @type {any} */ (tasks)[task]({ ...contestant, text }, settings);
  return { version: contestant.version, openMs, opened, ...found };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = await work(JSON.parse(process.argv[2])).catch((error) => ({ failed: error.message || String(error) }));
  // Closing is not measured, and turns may go on: the process just ends.
  process.stdout.write(`\n${MARK}${JSON.stringify(found)}\n`, () => process.exit(0));
}
