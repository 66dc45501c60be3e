import { expect, test } from 'vitest';
import { loadModel } from '../../lib/index.js';
import { NAMES, RECALL } from '../support/recall.js';

const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };
const PAGE = 16;

test('what sessions have in common is computed once and lives once on the device and in RAM', async () => {
  const model = await loadModel(RECALL, {
    threads: 1,
    maxResident: 8,
    contextTokens: 4096,
    cache: { pageTokens: PAGE, restore: 'always' },
  });
  const system = 'la shai brot '.repeat(40);
  const common = model.tokenize(system).length;
  expect(common).toBeGreaterThan(200);

  // What one of them takes in RAM, in whole pages of the same size.
  const one = await model.createSession({ ...GREEDY, system });
  await one.send('My name is Mosoba.');
  await one.park();
  const bytesOfOne = model.stats()['ramKvBytes'] ?? 0;
  const bytesPerPage = bytesOfOne / Math.floor((common + 20) / PAGE);
  await one.delete();
  expect(model.stats()['ramKvBytes']).toBe(0);

  const before = model.stats()['prefilledTokens'] ?? 0;
  const sessions = await Promise.all(Array.from({ length: 40 }, () => model.createSession({ ...GREEDY, system })));
  const replies = await Promise.all(sessions.map((session, i) => session.send(`My name is ${NAMES[i] ?? ''}.`)));
  const promptTokens = replies.reduce((sum, { usage }) => sum + usage.promptTokens, 0);
  const prefilled = (model.stats()['prefilledTokens'] ?? 0) - before;
  // Once, and of each what is its own; the page in which the two meet may be each one's own.
  expect(prefilled).toBeLessThan(promptTokens - 39 * (common - PAGE));
  expect(model.stats()['sharedTokens']).toBeGreaterThan(0);
  expect(model.stats()['usedCells']).toBeLessThan(common + 8 * 60);

  await Promise.all(sessions.map((session) => session.park()));
  expect(model.stats()['ramKvBytes']).toBeLessThan(bytesOfOne + 40 * 4 * bytesPerPage);
  const answers = await Promise.all(sessions.map((session) => session.send('What is my name?')));
  expect(answers.map(({ text }) => text)).toEqual(sessions.map((_, i) => `Your name is ${NAMES[i] ?? ''}.`));
  await model.close();
});
