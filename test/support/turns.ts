/** Turns as tests make them. */
import type { Piece, Reply } from '../../lib/types.js';

export const piece = (text: string): Piece => ({ text, tokens: [text.length], kind: 'text' });
export const reply = (text: string, finishReason: Reply['finishReason'] = 'stop'): Reply => ({
  text,
  reasoning: '',
  toolCalls: [],
  finishReason,
  usage: { promptTokens: 1, cachedTokens: 0, generatedTokens: 1, draftedTokens: 0, acceptedTokens: 0 },
  timings: { queueMs: 0, restoreMs: 0, prefillMs: 0, firstTokenMs: 0, generateMs: 0, tokensPerSecond: 0 },
  dropped: [],
});
export const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export async function collect(iterable: AsyncIterable<Piece>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of iterable) texts.push(text);
  return texts;
}

export async function piecesOf(turn: AsyncIterable<Piece>): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for await (const piece of turn) pieces.push(piece);
  return pieces;
}

export const joined = (pieces: readonly Piece[], kind: Piece['kind']): string =>
  pieces.flatMap((piece) => (piece.kind === kind ? [piece.text] : [])).join('');
