import { describe, expect, test } from 'vitest';
import { shorten, systemMessages } from '../../lib/overflow.js';
import type { Prompt } from '../../lib/native.js';
import type { Message } from '../../lib/types.js';

const message = (role: Message['role']): Message => ({ role, content: role });
const turns = (count: number): Message[] =>
  Array.from({ length: count }, () => [message('user'), message('assistant')]).flat();

/** Each message takes 10 tokens, what is said now 10 more. */
const rendering = (messages: readonly Message[]) => {
  const renders: number[] = [];
  return {
    renders,
    render: (first: number): Promise<Prompt> => {
      renders.push(first);
      const stays = systemMessages(messages) + messages.length - Math.max(first, systemMessages(messages));
      return Promise.resolve({ tokens: new Int32Array(10 * stays + 10), format: undefined });
    },
  };
};

async function shortened(messages: Message[], context: number, maxTokens?: number, added: Message[] = []) {
  const { renders, render } = rendering(messages);
  const result = await shorten(await render(0), messages, added, render, context, maxTokens);
  return { first: result.first, length: result.prompt.tokens.length, renders: renders.length - 1 };
}

describe('a conversation that outgrows the context', () => {
  test('what fits, with room for a reply, stays as it is', async () => {
    expect(await shortened(turns(3), 80)).toEqual({ first: 0, length: 70, renders: 0 });
  });

  test('loses as few of the oldest turns as bring it to three quarters', async () => {
    expect(await shortened(turns(10), 200)).toMatchObject({ first: 6, length: 150 });
    expect(await shortened(turns(10), 210)).toMatchObject({ first: 6, length: 150 });
    expect(await shortened(turns(10), 230)).toMatchObject({ first: 4, length: 170 });
  });

  test('keeps what is being answered: its call of a tool is not over', async () => {
    const called: Message[] = [
      { role: 'user', content: 'And?' },
      { role: 'assistant', content: '', tool_calls: [] },
    ];
    const answer: Message[] = [{ role: 'tool', content: 'x' }];
    expect(await shortened([...turns(10), ...called], 30, 10, answer)).toMatchObject({ first: 20 });
    expect(await shortened([...turns(10), ...called], 30, 10)).toMatchObject({ first: 22 });
    expect(await shortened(called, 20, 10, answer)).toMatchObject({ first: 0 });
  });

  test('a short reply needs little room', async () => {
    expect(await shortened(turns(10), 220, 10)).toMatchObject({ first: 0 });
    expect(await shortened(turns(10), 220, 11)).toMatchObject({ first: 6 });
  });

  test('system messages at the beginning stay', async () => {
    const messages = [message('system'), message('system'), ...turns(10)];
    expect(await shortened(messages, 200)).toMatchObject({ first: 10, length: 150 });
  });

  test('a turn goes as a whole, with its tool calls', async () => {
    const turn = (['user', 'assistant', 'tool', 'assistant'] as const).map(message);
    expect(await shortened([...turn, ...turn, ...turn], 120)).toMatchObject({ first: 4, length: 90 });
  });

  test('when even nothing before fits, everything goes: what is said now is never left out', async () => {
    expect(await shortened(turns(4), 10)).toMatchObject({ first: 8, length: 10 });
  });

  test('few renderings are made', async () => {
    expect((await shortened(turns(1000), 5000)).renders).toBeLessThanOrEqual(10);
  });

  test('a conversation of system messages alone has nothing to lose', async () => {
    expect(await shortened([message('system')], 5)).toMatchObject({ first: 1, length: 20, renders: 0 });
  });
});
