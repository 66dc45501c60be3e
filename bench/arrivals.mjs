/** Prompts, and what comes back: when each piece came, and how fast that is. Knows nothing of who speaks. */

/** @typedef {{ times: number[], tokens: number[] }} Arrivals  when each piece came, and how many tokens it brought */

const WORDS = (
  'time year people way day man thing woman life child world school state family student group country problem hand part ' +
  'place case week company system program question work government number night point home water room mother area money'
).split(' ');

/**
 * Ordinary words in an order of their own for each seed; about one token each.
 * @param {number} seed
 * @param {number} tokens
 */
export function promptText(seed, tokens) {
  let state = Math.imul(seed + 1, 2654435761);
  let text = `Text ${seed}:`;
  for (let i = 0; i < tokens - 4; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    text += ` ${WORDS[(state >>> 8) % WORDS.length]}`;
  }
  return text;
}

/**
 * Tokens per second while all of them were generating: from the last one's first piece to the first one's last.
 * NaN: they never were.
 * @param {Arrivals[]} replies
 */
export function commonRate(replies) {
  const from = Math.max(...replies.map(({ times }) => times[0]));
  const to = Math.min(...replies.map(({ times }) => /** @type {number} */ (times.at(-1))));
  if (to <= from) return NaN;
  let tokens = 0;
  for (const { times, tokens: counts } of replies) {
    counts.forEach((count, i) => (tokens += times[i] > from && times[i] <= to ? count : 0));
  }
  return (tokens / (to - from)) * 1000;
}
