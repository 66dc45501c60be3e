import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Conversation } from '../../lib/conversation.js';
import { expireIdle, sweepExpired, type Remover } from '../../lib/expiry.js';
import type { Host } from '../../lib/host.js';
import { resolveSessionOptions } from '../../lib/options.js';
import { tick } from '../support/turns.js';

const MINUTE = 60_000;
let removed: string[];
let failing: Error | undefined;
const remove: Remover = {
  open: (_, { id }) => removal(`open ${id}`),
  stored: (_, id) => removal(`stored ${id}`),
};
function removal(what: string): Promise<unknown> {
  removed.push(what);
  return failing === undefined ? Promise.resolve() : Promise.reject(failing);
}

beforeEach(() => {
  removed = [];
  failing = undefined;
  vi.useFakeTimers({ toFake: ['Date'], now: 1e12 });
});
afterEach(() => void vi.useRealTimers());

const host = (parts: object = {}): Host =>
  ({ closed: false, open: new Map(), opening: new Map(), store: {}, ...parts }) as unknown as Host;

/** A session, and what its listeners heard: `expiring MS` before its time, `expired`, `error MESSAGE`. */
function listening(ttlMs?: number): { conversation: Conversation; heard: string[]; look: () => void } {
  const options = resolveSessionOptions({ id: 'alice', ...(ttlMs !== undefined && { ttlMs }) });
  const conversation = new Conversation(options);
  const heard: string[] = [];
  conversation.events.on('expiring', ({ expiresAt }) => heard.push(`expiring ${expiresAt.getTime() - Date.now()}`));
  conversation.events.on('expired', () => heard.push('expired'));
  conversation.events.on('error', ({ message }) => heard.push(`error ${message}`));
  return { conversation, heard, look: () => expireIdle(host(), conversation, remove) };
}
const pass = (ms: number): void => void vi.setSystemTime(Date.now() + ms);

describe('a session that is open', () => {
  test('without a ttl lives for ever', () => {
    const { heard, look } = listening();
    pass(1e12);
    look();
    expect([heard, removed]).toEqual([[], []]);
  });

  test('is told a minute before its time, once, and is deleted when it has come', () => {
    const { heard, look } = listening(60 * MINUTE);
    pass(59 * MINUTE - 1);
    look();
    expect(heard).toEqual([]);
    pass(1);
    look();
    pass(MINUTE - 1);
    look();
    expect([heard, removed]).toEqual([['expiring 60000'], []]);
    pass(1);
    look();
    expect([heard, removed]).toEqual([['expiring 60000', 'expired'], ['open alice']]);
  });

  test('with a short ttl is told when a tenth of it is left', () => {
    const { heard, look } = listening(1000);
    pass(899);
    look();
    expect(heard).toEqual([]);
    pass(1);
    look();
    expect(heard).toEqual(['expiring 100']);
  });

  test('that speaks begins anew, and is told again', () => {
    const { conversation, heard, look } = listening(1000);
    pass(950);
    look();
    conversation.modifiedAt = Date.now();
    look();
    pass(950);
    look();
    look();
    expect([heard, removed]).toEqual([['expiring 50', 'expiring 50'], []]);
  });

  test('that is given more time has it', () => {
    const { conversation, heard, look } = listening(1000);
    conversation.reconfigure({ ttlMs: 5000 });
    pass(1001);
    look();
    expect([heard, removed]).toEqual([[], []]);
  });

  test('that waits, runs or is closed is left alone', () => {
    for (const busy of ['queued', 'running', 'closed']) {
      const { conversation, heard, look } = listening(1000);
      if (busy === 'queued') conversation.generations.add({ stop: () => undefined });
      else conversation[busy as 'running' | 'closed'] = true;
      expect(conversation.state).toBe(busy);
      pass(950);
      look();
      pass(50);
      look();
      expect([heard, removed]).toEqual([[], []]);
    }
  });

  test('that can not be deleted says so', async () => {
    const { heard, look } = listening(1000);
    failing = new Error('disk');
    pass(1000);
    look();
    await Promise.resolve();
    expect(heard).toEqual(['expired', 'error disk']);
  });
});

describe('sessions that are stored', () => {
  const asked: [number, number][] = [];
  const expired = (...ids: string[]): object => ({
    listExpired: (now: number, limit: number) => {
      asked.push([now, limit]);
      return Promise.resolve(ids);
    },
  });

  test('are deleted in order, a bounded number at once', async () => {
    await sweepExpired(host({ store: expired('a', 'b') }), remove);
    expect(removed).toEqual(['stored a', 'stored b']);
    expect(asked).toEqual([[1e12, 256]]);
  });

  test('one that can not be deleted does not keep the others', async () => {
    failing = new Error('disk');
    await sweepExpired(host({ store: expired('a', 'b') }), remove);
    expect(removed).toEqual(['stored a', 'stored b']);
  });

  test('those that are open here, or about to be, are not touched: a turn may run', async () => {
    const parts = { store: expired('a', 'open', 'b', 'opening'), open: new Map([['open', {}]]) };
    const opening = new Map([['opening', Promise.resolve()]]);
    const other = host({ ...parts, opening });
    await sweepExpired(other, remove);
    expect(removed).toEqual(['stored a', 'stored b']);
    expect([...other.opening.keys()]).toEqual(['opening']);
  });

  test('who opens one meanwhile waits until it is gone', async () => {
    const sweeping = host({ store: expired('a') });
    let during: boolean | undefined;
    await sweepExpired(sweeping, {
      ...remove,
      stored: () => {
        void Promise.resolve().then(() => (during = sweeping.opening.has('a')));
        return tick();
      },
    });
    expect([during, sweeping.opening.size]).toEqual([true, 0]);
  });

  test('one that is opened while others are deleted is left alone', async () => {
    const sweeping = host({ store: expired('a', 'b') });
    await sweepExpired(sweeping, {
      ...remove,
      stored: (_, id) => {
        sweeping.open.set('b', new Conversation(resolveSessionOptions({ id: 'b' })));
        return removal(`stored ${id}`);
      },
    });
    expect(removed).toEqual(['stored a']);
  });

  test('nothing is deleted once the model is closed', async () => {
    const closing = host({ store: expired('a', 'b') });
    await sweepExpired(closing, {
      ...remove,
      stored: (_, id) => {
        closing.closed = true;
        return removal(`stored ${id}`);
      },
    });
    expect(removed).toEqual(['stored a']);
  });

  test('a store that can not tell, or fails, has none', async () => {
    await sweepExpired(host(), remove);
    await sweepExpired(host({ store: { listExpired: () => Promise.reject(new Error('disk')) } }), remove);
    expect(removed).toEqual([]);
  });
});
