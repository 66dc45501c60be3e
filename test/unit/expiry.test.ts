import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Conversation } from '../../lib/conversation.js';
import { expireIdle, sweepExpired, type Remover } from '../../lib/expiry.js';
import { Host } from '../../lib/host.js';
import { resolveSessionOptions } from '../../lib/options.js';
import { keepUp } from '../../lib/upkeep.js';
import { tick } from '../support/turns.js';

const MINUTE = 60_000;
let removed: string[];
let failing: Error | undefined;
const remove: Remover = {
  open: (_, { id }) => removal(`open ${id}`),
  stored: (_, id) => removal(`stored ${id}`),
};
function removal(what: string): Promise<void> {
  removed.push(what);
  return failing === undefined ? Promise.resolve() : Promise.reject(failing);
}

beforeEach(() => {
  removed = [];
  failing = undefined;
  vi.useFakeTimers({ toFake: ['Date'], now: 1e12 });
});
afterEach(() => void vi.useRealTimers());

const hostOf = (store: object): Host =>
  new Host({ residency: {}, store } as unknown as ConstructorParameters<typeof Host>[0]);
const host = (store: object = {}): Host => hostOf({ claim: () => Promise.resolve(), ...store });

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
    expect([heard, removed]).toEqual([['expiring 60000'], ['open alice']]);
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

  test('that can not be deleted says so, and is tried again', async () => {
    const { heard, look } = listening(1000);
    failing = new Error('disk');
    pass(1000);
    look();
    await tick();
    expect(heard).toEqual(['error disk']);
    look();
    await tick();
    expect(heard).toEqual(['error disk', 'error disk']);
  });

  test('is deleted once, however long the store takes', () => {
    const { look } = listening(1000);
    pass(1000);
    look();
    look(); // before the first has ended
    expect(removed).toEqual(['open alice']);
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
    await sweepExpired(host(expired('a', 'b')), remove);
    expect(removed).toEqual(['stored a', 'stored b']);
    expect(asked).toEqual([[1e12, 256]]);
  });

  test('one that can not be deleted does not keep the others', async () => {
    failing = new Error('disk');
    await sweepExpired(host(expired('a', 'b')), remove);
    expect(removed).toEqual(['stored a', 'stored b']);
  });

  test('those that are open, or about to be, are not touched: a turn may run', async () => {
    const store = expired('a', 'open', 'b', 'opening', 'elsewhere');
    const sweeping = host(store);
    sweeping.open.set('open', new Conversation(resolveSessionOptions({ id: 'open' })));
    let opened = (): void => undefined;
    const opening = sweeping.exclusively('opening', () => new Promise<void>((resolve) => (opened = resolve)));
    await sweepExpired(sweeping, remove);
    opened();
    await opening;
    expect(removed).toEqual(['stored a', 'stored b', 'stored elsewhere']);
  });

  test('nor are those that another model of the same store has open: to the store both are one', async () => {
    const sweeping = host(expired('a', 'b'));
    const other = hostOf(sweeping.store);
    other.open.set('a', new Conversation(resolveSessionOptions({ id: 'a' })));
    await sweepExpired(sweeping, remove);
    expect(removed).toEqual(['stored b']);
    other.open.clear();
    await sweepExpired(sweeping, remove);
    expect(removed).toEqual(['stored b', 'stored a', 'stored b']);
  });

  test('who opens one meanwhile waits until it is gone', async () => {
    const sweeping = host(expired('a'));
    const order: string[] = [];
    let opening: Promise<unknown> | undefined;
    await sweepExpired(sweeping, {
      ...remove,
      stored: async () => {
        opening = tick().then(() => sweeping.exclusively('a', () => Promise.resolve(order.push('opened'))));
        await tick();
        await tick();
        order.push('deleted');
      },
    });
    await opening;
    expect(order).toEqual(['deleted', 'opened']);
  });

  test('are all deleted, however many, also behind those that can not be', async () => {
    const ids = Array.from({ length: 1000 }, (_, i) => `${i}`);
    const left = new Set(ids);
    const sweeping = host({
      listExpired: (_: number, limit: number) => Promise.resolve([...left].slice(0, limit)),
    });
    await sweepExpired(sweeping, {
      ...remove,
      stored: (_, id) => {
        if (Number(id) < 300) return Promise.reject(new Error('claimed'));
        left.delete(id);
        return Promise.resolve();
      },
    });
    expect([...left]).toEqual(ids.slice(0, 300));
  });

  test('one that is opened while others are deleted is left alone', async () => {
    const sweeping = host(expired('a', 'b'));
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
    const closing = host(expired('a', 'b'));
    await sweepExpired(closing, {
      ...remove,
      stored: (_, id) => {
        closing.closed = true;
        return removal(`stored ${id}`);
      },
    });
    expect(removed).toEqual(['stored a']);
  });

  test('are left alone where nobody can tell who has them open', async () => {
    await sweepExpired(hostOf(expired('a', 'b')), remove);
    expect(removed).toEqual([]);
  });

  test('a store that can not tell, or fails, has none', async () => {
    await sweepExpired(host(), remove);
    await sweepExpired(host({ listExpired: () => Promise.reject(new Error('disk')) }), remove);
    expect(removed).toEqual([]);
  });

  test('a sweep that fails for whatever reason is nobody’s failure', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    const unhandled: unknown[] = [];
    const listen = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', listen);
    const tiers = { keepsPages: false };
    const sweeping = new Host({
      residency: { tiers, parkIdle: () => undefined },
      store: { listExpired: () => Promise.resolve({ rows: [] }) },
    } as unknown as ConstructorParameters<typeof Host>[0]);
    const end = keepUp(sweeping, remove);
    vi.advanceTimersByTime(61_000);
    await tick();
    await tick();
    end();
    process.off('unhandledRejection', listen);
    expect(unhandled).toEqual([]);
  });
});
