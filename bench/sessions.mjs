/** What the cases have in common: a model, prompts that nobody shares, and replies with the time of each piece. */
import { promptText } from './arrivals.mjs';

export { commonRate } from './arrivals.mjs';

/** @typedef {import('../dist/index.js').Model} Model */
/** @typedef {import('../dist/index.js').Session} Session */
/** @typedef {import('../dist/index.js').LoadOptions} LoadOptions */
/** @typedef {import('../dist/index.js').Turn} Turn */
/** @typedef {import('./arrivals.mjs').Arrivals} Arrivals */

/**
 * @typedef {object} Settings
 * @property {string} model path of the file
 * @property {number} threads
 * @property {number} batchTokens of a step, ours and everybody's
 * @property {'unified' | 'streams'} [kvLayout] ours; absent: what it chooses
 * @property {number[]} [sessions] how many speak at once; absent: what the case finds interesting
 * @property {number} repetitions
 * @property {string[]} rivals who is compared
 * @property {number} timeoutMs for one measurement of one contestant
 * @property {string} [folder] for what a contestant saves
 * @property {boolean} quick fewer repetitions, smaller numbers: to see that it works
 */

/** Tokens of a step, ours and the limit's. */
export const BATCH_TOKENS = 512;

/**
 * Without speculation: greedy replies of random weights repeat themselves, and every case but one is about steps.
 * @param {Settings} settings
 * @param {LoadOptions} options
 * @returns {Promise<Model>}
 */
export async function openModel({ model, threads, batchTokens, kvLayout = 'auto' }, options) {
  const { loadModel } = await import('../dist/index.js');
  return loadModel(model, { gpuLayers: 0, threads, batchTokens, kvLayout, speculation: 'off', ...options });
}

/**
 * @param {Model} model
 * @param {number} count
 */
export const openSessions = (model, count) => Promise.all(Array.from({ length: count }, () => model.createSession()));

/** @param {Session[]} sessions */
export const deleteSessions = (sessions) => Promise.all(sessions.map((session) => session.delete()));

/**
 * Exactly so many tokens.
 * @param {Model} model
 * @param {number} count tokens
 * @param {number} seed
 */
export const promptTokens = (model, count, seed) => model.tokenize(promptText(seed, count + 4)).slice(0, count);

/**
 * Greedy, and for as long as it is told.
 * @param {number} maxTokens
 * @returns {import('../dist/index.js').TurnOptions}
 */
export const greedy = (maxTokens) => ({ maxTokens, ignoreEog: true, sampling: { temperature: 0 } });

/**
 * Reads a turn to its end, as an application does.
 * @param {Turn} turn
 * @param {(arrivals: Arrivals) => void} [onPiece]
 * @returns {Promise<Arrivals>}
 */
export async function arrivalsOf(turn, onPiece) {
  /** @type {Arrivals} */
  const arrivals = { times: [], tokens: [] };
  for await (const piece of turn) {
    arrivals.times.push(performance.now());
    arrivals.tokens.push(piece.tokens.length);
    onPiece?.(arrivals);
  }
  return arrivals;
}
