import { expect, test } from 'vitest';
import { loadModel, type Model } from '../../lib/index.js';
import { RECALL } from '../support/recall.js';

// Past its end a reply is babble, in which many tokens are as good as each other. Drafts come or not with the time that steps take,
// and rounding would choose.
const PLAIN = { threads: 1, speculation: 'off' } as const;
// More than a turn is admitted with, so that turns which fitted when they began run into each other.
const LONG = { ignoreEog: true, maxTokens: 200, sampling: { temperature: 0 } };
const MESSAGES = ['Tell me a story.', 'Count from 1 to 60.', 'My name is Mosoba.', 'Hello!'];

async function sayAll(model: Model): Promise<string[]> {
  const sessions = await Promise.all(MESSAGES.map(() => model.createSession()));
  const replies = await Promise.all(sessions.map((session, i) => session.send(MESSAGES[i] ?? '', LONG)));
  return replies.map((reply) => reply.text);
}

test('turns that outgrow the pool together give way and say what they say alone', async () => {
  const roomy = await loadModel(RECALL, { ...PLAIN, maxResident: 1 });
  const expected = await sayAll(roomy);
  await roomy.close();

  const tight = await loadModel(RECALL, { ...PLAIN, maxResident: 4, contextTokens: 512 });
  expect(await sayAll(tight)).toEqual(expected);
  expect(tight.stats()['stowedTurns']).toBeGreaterThan(0);
  await tight.close();
});

test('a turn that fills the whole pool alone ends with what it has', async () => {
  const model = await loadModel(RECALL, { threads: 1, contextTokens: 256 });
  const session = await model.createSession();
  const reply = await session.send('Tell me a story.', { ignoreEog: true });
  expect(reply.finishReason).toBe('length');
  expect(reply.usage.promptTokens + reply.usage.generatedTokens).toBe(256);
  await expect(session.send('Go on.')).rejects.toMatchObject({ code: 'CONTEXT_FULL' });
  expect(session.messages).toHaveLength(2);
  await model.close();
});

test('idle sessions make room for one that needs the pool', async () => {
  const model = await loadModel(RECALL, { threads: 1, maxResident: 8, contextTokens: 512 });
  const idle = await Promise.all(Array.from({ length: 6 }, () => model.createSession()));
  await Promise.all(idle.map((session) => session.send('My name is Mosoba.', { sampling: { temperature: 0 } })));
  const talker = await model.createSession();
  const reply = await talker.send('Tell me a story.', { ignoreEog: true, maxTokens: 450 });
  expect(reply.usage.generatedTokens).toBe(450);
  const answers = await Promise.all(
    idle.map((session) => session.send('What is my name?', { sampling: { temperature: 0 } })),
  );
  expect(answers.map((answer) => answer.text)).toEqual(idle.map(() => 'Your name is Mosoba.'));
  await model.close();
});
