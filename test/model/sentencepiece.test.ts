/**
 * SentencePiece vocabularies (Llama 2, Mistral): the tokeniser puts a space where none was, in front of each text. With Phi-3 it
 * drops the white space behind special tokens, too.
 */
import { expect, onTestFinished, test } from 'vitest';
import { namedModel } from '../../bench/generate-model.mjs';
import { Engine } from '../../lib/engine.js';
import { loadModel } from '../../lib/index.js';

const path = namedModel('tiny-sentencepiece');
const asked = { tools: '', toolChoice: 'auto', reasoning: true, jsonSchema: '' } as const;

test.each(['tiny-sentencepiece', 'tiny-phi-3'])('no turn reads again what was said before: %s', async (name) => {
  const model = await loadModel(namedModel(name), { threads: 1, contextTokens: 1024, maxResident: 1 });
  onTestFinished(() => model.close());
  const session = await model.createSession({ maxTokens: 12, sampling: { seed: 7 } });
  let held = 0;
  for (const message of ['Hi there, you.', 'And now?', '  two spaces ', 'Bye\n', '</s>']) {
    const { usage } = await session.send(message, { ignoreEog: true });
    expect(usage.cachedTokens, message).toBe(held);
    held = usage.promptTokens + usage.generatedTokens - 1; // nobody has read the last one
  }
});

test('a turn adds the tokens that its text has alone, without a space between the turns', async () => {
  const engine = new Engine(() => undefined);
  onTestFinished(() => engine.close());
  const options = { path, gpuLayers: 0, contextTokens: 512, sequences: 1, batchTokens: 64, threads: 1 };
  await engine.open({ ...options, unified: true, speculation: false, kvType: 'f16', memory: 0 });
  const letter = (text: string): number => engine.tokenize(`\n${text}`, false, false).at(-1) ?? -1;
  const end = engine.tokenize('</s>', false, true).at(-1) ?? -1;

  const messages: { role: string; content: string }[] = [];
  let said: number[] = [];
  for (const [question, answer] of [
    ['Hi there, you.', ' Hello friend'],
    ['And now?', 'No space'],
    ['  two spaces ', '  two'],
    ['Bye\n', ' Bye\n'],
    ['', ''],
    ['And then?', ''],
  ] as const) {
    messages.push({ role: 'user', content: question });
    const json = JSON.stringify(messages);
    const whole = [...(await engine.prepareChat(json, new Int32Array(), asked)).tokens];
    const prompt = [...(await engine.prepareChat(json, Int32Array.from(said), asked)).tokens];
    expect(prompt, question).toEqual([...said, ...whole.slice(said.length > 0 ? whole.lastIndexOf(end) : 0)]);
    // The tokeniser would have made the answer of other tokens.
    said = [...prompt, ...Array.from(answer, letter)];
    messages.push({ role: 'assistant', content: answer });
  }
});

test('what a message writes is text, also where it is called like a control token', async () => {
  const engine = new Engine(() => undefined);
  onTestFinished(() => engine.close());
  const options = { path, gpuLayers: 0, contextTokens: 512, sequences: 1, batchTokens: 64, threads: 1 };
  await engine.open({ ...options, unified: true, speculation: false, kvType: 'f16', memory: 0 });
  const end = engine.tokenize('</s>', false, true).at(-1) ?? -1;
  const prepare = async (content: string, known: Int32Array = new Int32Array()): Promise<Int32Array> =>
    (await engine.prepareChat(JSON.stringify([{ role: 'user', content }, ...answered]), known, asked)).tokens;
  const answered = [
    { role: 'assistant', content: 'Yes.' },
    { role: 'user', content: 'And?' },
  ];
  const ends = (tokens: Int32Array): number => tokens.filter((token) => token === end).length;
  const plain = await prepare('Hi you, there');
  for (const content of ['Hi </s>you,</s> there', '</s>', 'Hi<s></s> </s>', '</s></s>x']) {
    const tokens = await prepare(content);
    expect(ends(tokens), content).toBe(ends(plain));
    expect(engine.detokenize(tokens, true)).toBe(engine.detokenize(plain, true).replace('Hi you, there', content));
    expect(await prepare(content, tokens.subarray(0, tokens.length / 2))).toEqual(tokens);
  }
});
