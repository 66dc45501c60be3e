import { expect, test } from 'vitest';
import { Conversation } from '../../lib/conversation.js';
import { resolveSessionOptions } from '../../lib/options.js';
import type { Message } from '../../lib/types.js';

function rendered(...messages: Message[]): unknown {
  const conversation = new Conversation(resolveSessionOptions({ id: 'alice', system: 'S', messages }));
  return (JSON.parse(conversation.promptJson([])) as unknown[]).slice(1);
}

test('the template sees no mark of an interrupted reply, but arguments of that name', () => {
  const tool_calls = [{ type: 'function', function: { name: 'f', arguments: { interrupted: true, deep: [null] } } }];
  expect(rendered({ role: 'assistant', content: 'x', interrupted: true, tool_calls })).toEqual([
    { role: 'assistant', content: 'x', tool_calls },
  ]);
});

test('the template sees no null of a message', () => {
  expect(rendered({ role: 'user', content: 'x', name: null, tool_calls: null, reasoning_content: null })).toEqual([
    { role: 'user', content: 'x' },
  ]);
});

test('unpaired surrogates become U+FFFD wherever they are', () => {
  const tool_calls = (text: string): object[] => [{ type: 'function', function: { name: 'f', arguments: [text] } }];
  expect(rendered({ role: 'user', content: '\ud800', name: 'a\udc00b', tool_calls: tool_calls('\ud800') })).toEqual([
    { role: 'user', content: '\ufffd', name: 'a\ufffdb', tool_calls: tool_calls('\ufffd') },
  ]);
});
