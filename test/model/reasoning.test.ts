/** What models think: with templates of such models, and grammars that make the recall model do it. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { Engine } from '../../lib/engine.js';
import { loadRecall } from '../support/models.js';
import { loadAs, recallWithTemplate, templateOf, UNUSED } from '../support/templates.js';
import { joined, piecesOf } from '../support/turns.js';

const GREEDY = { sampling: { temperature: 0 } };

/** The model says what the grammar allows. (A user's own grammar is one of text.) */
function script(grammar: string): void {
  const { submit } = Engine.prototype;
  const spy = vi.spyOn(Engine.prototype, 'submit').mockImplementation(function (this: Engine, options, ...rest) {
    return submit.call(this, { ...options, grammar }, ...rest);
  });
  onTestFinished(() => {
    spy.mockRestore();
  });
}

const thinking = String.raw`root ::= "<think>\nWell, " [a-z ]{40} "\n</think>\n\nYes."`;

test('comes in pieces of its own kind, and is kept apart', async () => {
  const model = await loadAs('Qwen-Qwen3-0.6B');
  script(thinking);
  const session = await model.createSession(GREEDY);
  const turn = session.send('Hello');
  const pieces = await piecesOf(turn);
  const { text, reasoning, usage } = await turn;
  expect(text.trim()).toBe('Yes.');
  expect(reasoning).toMatch(/^\s*Well, [a-z ]{40}\s*$/);
  expect(joined(pieces, 'text')).toBe(text);
  expect(joined(pieces, 'reasoning')).toBe(reasoning);
  expect(pieces.filter(({ kind }) => kind === 'reasoning').length).toBeGreaterThan(10);
  expect(pieces.flatMap(({ tokens }) => tokens)).toHaveLength(usage.generatedTokens);
  expect(session.messages[1]).toEqual({ role: 'assistant', content: text, reasoning_content: reasoning });
  await expect(session.send('And now?')).resolves.toMatchObject({ text, reasoning: expect.any(String) as string });
});

test('is not what was said: a turn that was cancelled before it spoke leaves no trace', async () => {
  const model = await loadAs('Qwen-Qwen3-0.6B');
  script(thinking);
  const session = await model.createSession(GREEDY);
  const turn = session.send('Hello');
  for await (const { kind } of turn) if (kind === 'reasoning') break;
  const { text, reasoning, finishReason } = await turn;
  expect({ text, finishReason }).toEqual({ text: '', finishReason: 'cancelled' });
  expect(reasoning).toContain('W');
  expect(session.messages).toEqual([]);
});

test('ends at a control token as well, which text is never spelled with', async () => {
  const template = await templateOf('Qwen3.5-4B'); // its prompts end with <think>
  const model = await loadRecall({}, await recallWithTemplate(() => template, { control: '</think>' }));
  script(String.raw`root ::= "Well.\n</think>\n\nYes."`);
  const session = await model.createSession({ sampling: { temperature: 0, logitBias: { [UNUSED]: 100 } } });
  const turn = session.send('Hello');
  const pieces = await piecesOf(turn);
  expect(pieces.flatMap(({ tokens }) => tokens)).toContain(UNUSED);
  const { text, reasoning } = await turn;
  expect({ text: text.trim(), reasoning: reasoning.trim() }).toEqual({ text: 'Yes.', reasoning: 'Well.' });
});

test('is text to a template that knows none', async () => {
  script(thinking);
  const session = await (await loadRecall()).createSession(GREEDY);
  const { text, reasoning } = await session.send('Hello');
  expect(text).toMatch(/^<think>\nWell, .*\n<\/think>\n\nYes\.$/s);
  expect(reasoning).toBe('');
});
