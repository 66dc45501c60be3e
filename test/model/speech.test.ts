import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel, type Model, type ModelStats, type Session } from '../../lib/index.js';
import { runChild } from '../support/child.js';
import { loadRecall } from '../support/models.js';
import { RECALL } from '../support/recall.js';
import { piecesOf } from '../support/turns.js';

const GREEDY = { temperature: 0 };

let model: Model;
beforeAll(async () => {
  model = await loadModel(RECALL, { threads: 1 });
});
afterAll(() => model.close());

test('a turn is iterated and awaited; its pieces are its reply', async () => {
  const session = await model.createSession({ sampling: GREEDY });
  const turn = session.send('Tell me a story.');
  const pieces = await piecesOf(turn);
  const reply = await turn;
  expect(reply.text).toMatch(/^Once there was a small robot.*The end\.$/);
  expect(pieces.map((piece) => piece.text).join('')).toBe(reply.text);
  expect(model.detokenize(pieces.flatMap((piece) => piece.tokens))).toBe(reply.text);
  expect(pieces.flatMap((piece) => piece.tokens)).toHaveLength(reply.usage.generatedTokens);
  expect(session.messages).toEqual([
    { role: 'user', content: 'Tell me a story.' },
    { role: 'assistant', content: reply.text },
  ]);
});

test('system prompts differ from session to session', async () => {
  const [plain, terse, warm] = await Promise.all(
    [undefined, 'You are a terse assistant.', 'You are a warm and encouraging assistant.'].map(async (system) => {
      const session = await model.createSession({ sampling: GREEDY, ...(system !== undefined && { system }) });
      await session.send('My name is Mosoba.');
      return (await session.send('What is my name?')).text;
    }),
  );
  expect([plain, terse, warm]).toEqual([
    'Your name is Mosoba.',
    'It is Mosoba.',
    'Of course! Your name is Mosoba. Happy to help!',
  ]);
});

test('stop strings end a reply before them, also across tokens, and the conversation goes on', async () => {
  const session = await model.createSession({ sampling: GREEDY });
  const reply = await session.send('Tell me a story.', { stop: ['waves. One', 'never said'] });
  expect(reply).toMatchObject({
    finishReason: 'stopSequence',
    text: 'Once there was a small robot that lived by the sea. Every day it counted the ',
  });
  const next = await session.send('My name is Mosoba.');
  expect(next.text).toBe('Noted: your name is Mosoba.');
});

test('a seed makes sampling repeatable, another one changes it', async () => {
  const seeded = async (seed: number): Promise<string> => {
    const speaker = await loadRecall();
    const session = await speaker.createSession({ sampling: { temperature: 2, topK: 0, topP: 1, minP: 0, seed } });
    return (await session.send('Tell me a story.', { maxTokens: 60 })).text;
  };
  const [first, second, other] = [await seeded(1), await seeded(1), await seeded(2)];
  expect(second).toBe(first);
  expect(other).not.toBe(first);
});

test('a grammar is followed, a bad one is GRAMMAR_INVALID, a bias bans', async () => {
  const session = await model.createSession({ sampling: GREEDY });
  const reply = await session.send('What is my name?', { sampling: { grammar: 'root ::= "yes" | "no"' } });
  expect(['yes', 'no']).toContain(reply.text);
  await expect(session.send('Hello', { sampling: { grammar: 'root ::= (' } })).rejects.toMatchObject({
    code: 'GRAMMAR_INVALID',
  });
  const [robot = 0] = model.tokenize(' robot');
  const banned = await session.send('Tell me a story.', { sampling: { logitBias: { [robot]: -100 } } });
  expect(banned.text).not.toContain(' robot');
});

test('a grammar that is finished ends the turn, also when the end is ignored', async () => {
  const session = await model.createSession({ sampling: { ...GREEDY, grammar: 'root ::= "yes" " please"?' } });
  const reply = await session.send('What is my name?', { ignoreEog: true });
  expect(reply).toMatchObject({ text: 'yes please', finishReason: 'stop' });
  expect(session.messages.at(-1)).toEqual({ role: 'assistant', content: 'yes please' });
});

test('where a grammar does not parse is printed to stderr', async () => {
  const child = await runChild(`
    const model = await load();
    const session = await model.createSession({ sampling: { grammar: 'root ::= ("yes" | "no"\\nrest = "x"' } });
    await session.send('Hello').catch(({ code }) => console.log(code));
    await model.close();
  `);
  expect(child).toMatchObject({ code: 0, stdout: 'GRAMMAR_INVALID\n' });
  expect(child.stderr).toMatch(/error parsing grammar: expecting '\)' at = "x"/);
});

test('whatever bytes the model makes, the text is whole characters', async () => {
  const replies = await Promise.all(
    Array.from({ length: 8 }, async (_, seed) => {
      const session = await model.createSession({ sampling: { temperature: 100, topK: 0, topP: 1, minP: 0, seed } });
      const turn = session.send('Hello!', { maxTokens: 100, ignoreEog: true });
      let text = '';
      for await (const piece of turn) text += piece.text;
      expect(text).toBe((await turn).text);
      return text;
    }),
  );
  // Random bytes are mostly no UTF-8: they come out as replacement characters, never as halves.
  expect(replies.join('')).toContain('\uFFFD');
  for (const text of replies) expect(Buffer.from(text).toString()).toBe(text);
});

test('what sessions say at once keeps apart, however many units its characters have', async () => {
  const said = ['🦙'.repeat(12), 'é'.repeat(24), '中'.repeat(16), 'plain'.repeat(8)];
  const replies = await Promise.all(
    said.map(async (text) => {
      const session = await model.createSession({ sampling: { ...GREEDY, grammar: `root ::= "${text}"` } });
      return (await session.send('Hello!')).text;
    }),
  );
  expect(replies).toEqual(said);
});

test('complete() continues raw text or tokens, adds no message, and finds its prefix again', async () => {
  const session = await model.createSession({ sampling: GREEDY });
  const prompt = '<|im_start|>user\nMy name is Mosoba.<|im_end|>\n<|im_start|>assistant\n';
  const first = await session.complete(prompt);
  expect(first.text).toBe('Noted: your name is Mosoba.');
  expect(session.messages).toEqual([]);
  const longer = `${prompt}${first.text}<|im_end|>\n<|im_start|>user\nWhat is my name?<|im_end|>\n<|im_start|>assistant\n`;
  const second = await session.complete(model.tokenize(longer, { addSpecial: true, parseSpecial: true }));
  expect(second.text).toBe('Your name is Mosoba.');
  expect(second.usage.cachedTokens).toBeGreaterThan(20);
});

test('every session that generates is in every step', async () => {
  const sessions = await Promise.all(Array.from({ length: 16 }, () => model.createSession({ sampling: GREEDY })));
  // From when all have begun to speak until the first has ended.
  let spoken = 0;
  let before: ModelStats | undefined;
  let after: ModelStats | undefined;
  const speak = async (session: Session): Promise<void> => {
    let pieces = 0;
    for await (const _ of session.send('Hello!', { ignoreEog: true, maxTokens: 200 })) {
      if (++pieces === 1 && ++spoken === sessions.length) before = model.stats();
      if (pieces === 150) after ??= model.stats();
    }
  };
  await Promise.all(sessions.map(speak));
  const grown = (name: string): number => (after?.[name] ?? 0) - (before?.[name] ?? 0);
  expect(grown('generateSteps')).toBeGreaterThan(50);
  expect(grown('generatedSequences') / grown('generateSteps')).toBeGreaterThan(0.98 * 16);
});

test('events tell what happens to a session', async () => {
  const session = await model.createSession({ sampling: GREEDY });
  const events: string[] = [];
  session.on('state', ({ from, to }) => events.push(`${from}>${to}`));
  session.on('turn', (reply) => events.push(reply.finishReason));
  session.on('parked', ({ tier }) => events.push(tier));
  const off = session.on('turn', () => events.push('never'));
  off();
  await session.send('Hello!');
  await session.park();
  await session.close();
  expect(events).toEqual(['idle>queued', 'queued>running', 'stop', 'running>idle', 'ram', 'idle>closed']);
});
