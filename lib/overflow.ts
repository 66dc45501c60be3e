import type { Prompt } from './native.js';
import type { Message } from './types.js';

/** Room that is kept for the reply at least, as a part of the context. */
const REPLY = 1 / 8;
/** How full the context is afterwards at most: what stays must be computed again, as its positions change, so not every time. */
const FULL = 3 / 4;

/** A prompt that fits, and the message that its conversation begins with, after the system messages. */
export interface Shortened {
  prompt: Prompt;
  first: number;
}

/**
 * Leaves out the oldest turns when a prompt and its reply would outgrow the context. A turn goes as a whole, from a user's
 * message to before the next; system messages at the beginning stay. What is being said is never left out: alone too long, it
 * is CONTEXT_FULL.
 * @param prompt with all messages @param messages before those that are `added`
 * @param render the prompt without the messages from `systemMessages()` to before `first`
 */
export async function shorten(
  prompt: Prompt,
  messages: readonly Message[],
  added: readonly Message[],
  render: (first: number) => Promise<Prompt>,
  contextTokens: number,
  maxTokens: number = Infinity,
): Promise<Shortened> {
  const reply = Math.min(maxTokens, contextTokens * REPLY);
  let best: Shortened = { prompt, first: systemMessages(messages) };
  if (prompt.tokens.length + reply <= contextTokens) return best;
  // The fewest turns whose absence makes it fit; prompts get shorter with each that goes.
  const ends = turnEnds(messages);
  if (added[0]?.role === 'tool') ends.pop(); // answers what the last turn has asked: it is not over
  for (let low = 0, high = ends.length - 1; low <= high;) {
    const middle = (low + high) >> 1;
    const first = ends[middle] ?? 0;
    const shorter = await render(first);
    const fits = shorter.tokens.length <= contextTokens * FULL;
    if (fits || best.first < first) best = { prompt: shorter, first };
    if (fits) high = middle - 1;
    else low = middle + 1;
  }
  return best;
}

/** How many messages at the beginning are the system's: they are not part of any turn. */
export function systemMessages(messages: readonly Message[]): number {
  const first = messages.findIndex(({ role }) => role !== 'system');
  return first < 0 ? messages.length : first;
}

/** After how many messages a turn has ended. */
function turnEnds(messages: readonly Message[]): number[] {
  const begin = systemMessages(messages);
  const ends = messages.flatMap(({ role }, i) => (role === 'user' && i > begin ? [i] : []));
  return begin < messages.length ? [...ends, messages.length] : ends;
}
