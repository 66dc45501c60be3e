/** What the cases have in common: a model, prompts that nobody shares, and replies with the time of each piece. */

/** @typedef {import('../dist/index.js').Model} Model */
/** @typedef {import('../dist/index.js').Session} Session */
/** @typedef {import('../dist/index.js').LoadOptions} LoadOptions */
/** @typedef {import('../dist/index.js').Turn} Turn */

/**
 * @typedef {object} Settings
 * @property {string} model path of the file
 * @property {number} threads
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
export async function openModel({ model, threads }, options) {
  const { loadModel } = await import('../dist/index.js');
  return loadModel(model, { gpuLayers: 0, threads, batchTokens: BATCH_TOKENS, speculation: 'off', ...options });
}

/**
 * @param {Model} model
 * @param {number} count
 */
export const openSessions = (model, count) => Promise.all(Array.from({ length: count }, () => model.createSession()));

/** @param {Session[]} sessions */
export const deleteSessions = (sessions) => Promise.all(sessions.map((session) => session.delete()));

const WORDS = (
  'time year people way day man thing woman life child world school state family student group country problem hand part ' +
  'place case week company system program question work government number night point home water room mother area money'
).split(' ');

/**
 * Ordinary words in an order of their own for each seed.
 * @param {Model} model
 * @param {number} count tokens
 * @param {number} seed
 */
export function promptTokens(model, count, seed) {
  let state = Math.imul(seed + 1, 2654435761);
  let text = `Text ${seed}:`;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    text += ` ${WORDS[(state >>> 8) % WORDS.length]}`;
  }
  return model.tokenize(text).slice(0, count);
}

/**
 * Greedy, and for as long as it is told.
 * @param {number} maxTokens
 * @returns {import('../dist/index.js').TurnOptions}
 */
export const greedy = (maxTokens) => ({ maxTokens, ignoreEog: true, sampling: { temperature: 0 } });

/** @typedef {{ times: number[], tokens: number[] }} Arrivals  when each piece came, and how many tokens it brought */

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

/**
 * Tokens per second while all of them were generating: from the last one's first piece to the first one's last.
 * @param {Arrivals[]} replies
 */
export function commonRate(replies) {
  const from = Math.max(...replies.map(({ times }) => times[0]));
  const to = Math.min(...replies.map(({ times }) => /** @type {number} */ (times.at(-1))));
  let tokens = 0;
  for (const { times, tokens: counts } of replies) {
    counts.forEach((count, i) => (tokens += times[i] > from && times[i] <= to ? count : 0));
  }
  return (tokens / (to - from)) * 1000;
}
