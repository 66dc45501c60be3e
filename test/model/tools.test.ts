/** Tools and JSON schemas: with templates of models that know them, and grammars that make the recall model say it. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Message, Tool } from '../../lib/index.js';
import { until } from '../support/deadline.js';
import { folder, loadRecall } from '../support/models.js';
import { loadAs } from '../support/templates.js';
import { joined, piecesOf } from '../support/turns.js';

const GREEDY = { sampling: { temperature: 0 } };
/** Its calls begin with a brace, a token of this model. A required call may come behind text: this one begins at once. */
const LLAMA = 'meta-llama-Llama-3.2-3B-Instruct';
const CALLING = { toolChoice: 'required', sampling: { temperature: 0, logitBias: { 123: 100 } } } as const;
const CITIES = ['Oslo', 'Rome'];
const WEATHER: Tool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: { type: 'object', properties: { city: { enum: CITIES } }, required: ['city'] },
  },
};
const PERSON = {
  type: 'object',
  properties: { name: { enum: ['Ada', 'Bob'] }, age: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['name', 'age'],
};

describe('tools', () => {
  test.each([LLAMA, 'meetkai-functionary-medium-v3.2'])(
    'a call comes with its arguments, is kept, and is answered by a message: %s',
    async (name) => {
      const model = await loadAs(name);
      const session = await model.createSession({ ...GREEDY, tools: [WEATHER], maxTokens: 300 });
      const turn = session.send('How is the weather?', CALLING);
      const pieces = await piecesOf(turn);
      const reply = await turn;

      expect(reply).toMatchObject({ text: '', reasoning: '', finishReason: 'stop' });
      expect(joined(pieces, 'text')).toBe('');
      expect(pieces.flatMap(({ tokens }) => tokens)).toHaveLength(reply.usage.generatedTokens);
      expect(reply.toolCalls.length).toBeGreaterThan(0);
      for (const call of reply.toolCalls) {
        expect(call).toMatchObject({ type: 'function', function: { name: 'get_weather' } });
        expect(call.id).toMatch(/^[A-Za-z0-9]{9}$/);
        expect(CITIES).toContain((JSON.parse(call.function.arguments) as { city: string }).city);
      }
      expect(session.messages[1]).toEqual({ role: 'assistant', content: '', tool_calls: reply.toolCalls });

      const kept = session.messages;
      for (const call of reply.toolCalls) call.function.arguments = 'changed';
      expect(session.messages).toEqual(kept);
      const answers = reply.toolCalls.map(({ id }): Message => ({
        role: 'tool',
        tool_call_id: id,
        content: 'It rains.',
      }));
      const after = await session.send(answers, { toolChoice: 'none', maxTokens: 8 });
      expect(after.toolCalls).toEqual([]);
      expect(session.messages).toHaveLength(3 + answers.length);
    },
  );

  test('who calls none says what he says', async () => {
    const model = await loadAs('Qwen-Qwen2.5-7B-Instruct');
    const session = await model.createSession({ ...GREEDY, tools: [WEATHER], maxTokens: 30 });
    const turn = session.send('My name is Mosoba.');
    const pieces = await piecesOf(turn);
    const { text, toolCalls } = await turn;
    expect(toolCalls).toEqual([]);
    expect(text).not.toBe('');
    expect(joined(pieces, 'text')).toBe(text);
  });

  test('are kept with the session, and copied to its forks', async () => {
    const store = await folder();
    const tools = structuredClone([WEATHER]);
    const first = await loadAs(LLAMA, store);
    const session = await first.createSession({ ...CALLING, id: 'ada', tools, maxTokens: 300 });
    tools.pop(); // the session has its own
    const { toolCalls } = await session.send('How is the weather?');
    expect((await (await session.fork()).send('And now?')).toolCalls).not.toEqual([]);
    await first.close();

    const second = await loadAs(LLAMA, store);
    const resumed = await second.resumeSession('ada');
    expect(resumed.messages[1]).toMatchObject({ tool_calls: toolCalls });
    expect((await resumed.send('And now?')).toolCalls).not.toEqual([]);
  });

  test('a turn may have its own', async () => {
    const model = await loadAs(LLAMA);
    const session = await model.createSession({ ...GREEDY, maxTokens: 300 });
    const { toolCalls } = await session.send('Hello', { ...CALLING, tools: [WEATHER] });
    expect(toolCalls[0]?.function.name).toBe('get_weather');
    expect((await session.send('Hello')).toolCalls).toEqual([]);
  });

  test('what is cut off is no call', async () => {
    const model = await loadAs(LLAMA);
    const session = await model.createSession({ ...CALLING, tools: [WEATHER] });
    const { toolCalls, finishReason } = await session.send('Hello', { maxTokens: 60 });
    expect({ toolCalls, finishReason }).toEqual({ toolCalls: [], finishReason: 'length' });
  });

  test('that were answered in vain can be answered again', async () => {
    const model = await loadAs(LLAMA);
    const session = await model.createSession({ ...CALLING, tools: [WEATHER], maxTokens: 300 });
    const { toolCalls } = await session.send('How is the weather?');
    const answers = toolCalls.map(({ id }): Message => ({ role: 'tool', tool_call_id: id, content: 'It rains.' }));
    const before = session.messages;
    const spoken = model.stats()['generatedTokens'] ?? 0;
    const turn = session.send(answers);
    await until('a call has begun', () => (model.stats()['generatedTokens'] ?? 0) > spoken + 5);
    turn.cancel();
    expect((await turn).finishReason).toBe('cancelled');
    expect(session.messages).toEqual(before);
    expect((await session.send(answers)).usage.cachedTokens).toBeGreaterThan(0);
    expect(session.messages).toHaveLength(before.length + answers.length + 1);
  });

  test('and calls go along in an exported file', async () => {
    const path = join(await folder(), 'ada.session');
    const model = await loadAs(LLAMA);
    const session = await model.createSession({ ...CALLING, tools: [WEATHER], maxTokens: 300 });
    await session.send('How is the weather?');
    await session.export(path);
    const copy = await model.importSession(path, { id: 'copy' });
    expect(copy.messages).toEqual(session.messages);
    expect((await copy.send('And now?')).toolCalls).not.toEqual([]);
  });

  test('that a template knows nothing of keep nobody from going back', async () => {
    const store = await folder();
    const model = await loadRecall({ store });
    const own = await model.createSession({ ...GREEDY, id: 'a', maxTokens: 8 });
    await own.send('My name is Mosoba.');
    await own.send('Hello');
    await own.close();
    const resumed = await model.resumeSession('a', { tools: [WEATHER] });
    await resumed.rewind(2);
    expect(resumed.messages).toHaveLength(2);
    await expect((await resumed.fork({ atMessage: 1 })).send('Hello', { tools: [] })).resolves.toBeDefined();
  });

  test('that the template knows nothing of are refused, and the session stays', async () => {
    const model = await loadRecall();
    const session = await model.createSession(GREEDY);
    await expect(session.send('Hello', { tools: [WEATHER] })).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
    await expect(session.send('Hello')).resolves.toMatchObject({ toolCalls: [] });
  });

  test('whose parameters no grammar can be made of are refused by their name', async () => {
    const model = await loadAs('Qwen-Qwen2.5-7B-Instruct');
    const odd: Tool = { type: 'function', function: { name: 'odd_one', parameters: { type: 'nonsense' } } };
    const session = await model.createSession();
    const refused = session.send('Hello', { tools: [WEATHER, odd] });
    await expect(refused).rejects.toMatchObject({ code: 'GRAMMAR_INVALID' });
    await expect(refused).rejects.toThrow('odd_one');
  });
});

describe('a JSON schema', () => {
  const follows = (text: string): void => {
    const { name, age } = JSON.parse(text) as { name: string; age: number };
    expect(['Ada', 'Bob']).toContain(name);
    expect(age % 1).toBe(0);
    expect(Math.min(Math.max(age, 1), 9)).toBe(age);
  };
  const sampling = { temperature: 0, jsonSchema: PERSON };

  test.each(['Qwen-Qwen2.5-7B-Instruct', 'google-gemma-2-2b-it'])('is what a reply follows: %s', async (name) => {
    const session = await (await loadAs(name)).createSession({ sampling });
    const turn = session.send('Who are you?');
    const pieces = await piecesOf(turn);
    const { text } = await turn;
    follows(text);
    expect(joined(pieces, 'text')).toBe(text);
    expect(pieces.length).toBeGreaterThan(1);
  });

  test('is what a completion follows, of a text and of tokens', async () => {
    const model = await loadRecall();
    const session = await model.createSession({ sampling });
    follows((await session.complete('Ada: ')).text);
    follows((await session.complete(model.tokenize('Ada: '))).text);
  });

  test('holds where the model is asked not to think', async () => {
    const session = await (await loadAs('Qwen3.5-4B')).createSession({ sampling, reasoning: 'off' });
    follows((await session.send('Who are you?')).text);
  });

  test('of nothing means any JSON', async () => {
    const session = await (await loadAs('Qwen-Qwen2.5-7B-Instruct')).createSession();
    const greedy = { temperature: 0, jsonSchema: {}, logitBias: { 123: 50, 125: 100 } }; // braces
    expect(JSON.parse((await session.send('Hello', { sampling: greedy })).text)).toEqual({});
  });

  test('or a grammar of a turn takes the place of the session’s, and nothing is none', async () => {
    const model = await loadAs('Qwen3.5-4B'); // whose prompts begin to think: what follows a grammar is text all the same
    const session = await model.createSession({ sampling });
    expect(await session.send('Hello', { sampling: { grammar: 'root ::= "yes"' } })).toMatchObject({
      text: 'yes',
      reasoning: '',
    });
    const free = await session.send('Hello', { sampling: { grammar: '' }, maxTokens: 4 });
    expect(free.finishReason).toBe('length');
    expect(free.text + free.reasoning).not.toContain('{');
  });

  test('is what a completion follows beside tools, which it has none of', async () => {
    const session = await (await loadAs(LLAMA)).createSession({ tools: [WEATHER] });
    follows((await session.complete('Ada: ', { sampling })).text);
  });

  test('that can not be followed is refused, and the session stays', async () => {
    const model = await loadRecall();
    const session = await model.createSession(GREEDY);
    const itself = { $defs: { a: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' };
    const wrong = [{ type: 'nonsense' }, { $ref: '#/nowhere' }, itself, { type: 'string', minLength: 1e6 }];
    for (const jsonSchema of wrong) {
      const refused = { sampling: { jsonSchema }, maxTokens: 4 };
      await expect(session.send('Hello', refused)).rejects.toThrow(/JSON schema/);
      await expect(session.send('Hello', refused)).rejects.toMatchObject({ code: 'GRAMMAR_INVALID' });
      await expect(session.complete('Hello', refused)).rejects.toMatchObject({ code: 'GRAMMAR_INVALID' });
      await expect(session.complete([300], refused)).rejects.toMatchObject({ code: 'GRAMMAR_INVALID' });
    }
    await expect(session.send('Hello', { maxTokens: 4 })).resolves.toMatchObject({ finishReason: 'length' });
  });
});
