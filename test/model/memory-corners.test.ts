/** Ways in which a window or a state once became another session's, or nobody's. */
import { describe, expect, test } from 'vitest';
import { completedAlone, GREEDY, KINDS, load, noise, READ, reader } from '../support/kinds.js';

describe.each(KINDS)('$name', (kind) => {
  // Parked KV holds the window only: what lies before the place where the prompt leaves it is not there.
  test.each([20, 100, 165, 199])('a prompt that leaves what was parked after %i tokens', async (common) => {
    const model = await load(kind);
    const session = await reader(model, noise(1, 200));
    await session.park();
    const prompt = [...noise(1, common), ...noise(2, 30)];
    expect((await session.complete(prompt, GREEDY)).text).toBe(await completedAlone(kind, prompt));
  });

  // llama.cpp gives cells out that a window has left, though others are free.
  test('a prompt that leaves KV whose window was overtaken by another session', async () => {
    const model = await load(kind);
    const [first, second, third] = [noise(1, 200), noise(2, 150), noise(3, 100)];
    const parked = await reader(model, first);
    const session = await reader(model, second);
    const other = await reader(model, third);
    await parked.park();
    await other.complete([...third, ...noise(4, 240)], READ);
    const prompt = [...second.slice(0, 20), ...noise(5, 30)];
    expect((await session.complete(prompt, GREEDY)).text).toBe(await completedAlone(kind, prompt));
  });

  // llama.cpp moves states in the step itself; one that ends half-way has moved some layers of those beside it, too.
  test('two that are cancelled while they read leave the one between them alone', async () => {
    const model = await load(kind, { maxResident: 3, batchTokens: 1024 });
    const prompts = [noise(1, 50), noise(2, 50), noise(3, 50)] as const;
    const more = [...prompts[1], 99];
    const expected = await completedAlone(kind, more);
    for (let ticks = 0; ticks < 24; ticks++) {
      const [left, middle, right] = [
        await reader(model, prompts[0]),
        await reader(model, prompts[1]),
        await reader(model, prompts[2]),
      ];
      const turns = [
        left.complete([...prompts[0], ...noise(4, 1500)], READ),
        right.complete([...prompts[2], ...noise(5, 1500)], READ),
      ];
      for (let i = 0; i < 2 + 4 * ticks; i++) await new Promise(setImmediate);
      for (const turn of turns) turn.cancel();
      await Promise.all(turns);
      expect((await middle.complete(more, GREEDY)).text).toBe(expected);
      await Promise.all([left, middle, right].map((session) => session.delete()));
    }
  });
});
