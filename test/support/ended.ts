import { expect } from 'vitest';
import type { Session } from '../../lib/index.js';
import { within } from './deadline.js';

/** The session is as it was before the turn that was ended, and talks. */
export async function isUntouched(session: Session): Promise<void> {
  expect(session.messages).toEqual([]);
  expect(session.state).toBe('idle');
  await talksOn(session);
}

/** The session can be used after a turn that was ended. */
export async function talksOn(session: Session): Promise<void> {
  const before = session.messages.length;
  const options = { sampling: { temperature: 0 }, maxTokens: 20 };
  const reply = await within('the next turn', session.send('Count from 3 to 9.', options));
  // After half a story the model may not find back to what it can.
  if (before === 0) expect(reply.text).toBe('3 4 5 6 7 8 9');
  expect(reply.text).not.toBe('');
  expect(session.messages).toHaveLength(before + 2);
  expect(session.state).toBe('idle');
}

/** What the turn had begun to say stays, marked. */
export function keptInterrupted(session: Session, text: string): void {
  expect(session.messages).toEqual([
    { role: 'user', content: 'Tell me a story.' },
    { role: 'assistant', content: text, interrupted: true },
  ]);
}
