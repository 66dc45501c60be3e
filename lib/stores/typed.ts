import { types } from 'node:util';
import { list, text, type Check } from '../checks.js';
import { LlamaError, messageOf } from '../errors.js';
import type { SessionStore } from './store.js';

/** What a method was to do, as in 'The store could not …'. */
const DOING = {
  getRecord: 'read a session record',
  putRecord: 'write a session record',
  deleteRecord: 'delete a session record',
  listExpired: 'list the expired sessions',
  claim: 'claim a session',
  release: 'release a session',
  getPage: 'read a KV page',
  putPage: 'write a KV page',
  deletePage: 'delete a KV page',
  close: 'close',
} as const;

/** What is checked of answers: what would fail where nobody thinks of the store any more. */
const ANSWERS: { readonly [Name in keyof typeof DOING]?: Check } = {
  listExpired: list(text(0, Infinity), Infinity),
};

/**
 * The same store, whose failures are typed: what it throws, at once or later, becomes a STORE_FAILED with that as its `cause`, and so
 * does an answer that the contract does not know. A store that somebody else wrote may do anything; nothing above it should have
 * to know.
 */
export function typedStore(store: SessionStore): SessionStore {
  const typed: SessionStore = {
    getRecord: (id) => call('getRecord', () => store.getRecord(id)),
    putRecord: (id, bytes, options) => call('putRecord', () => store.putRecord(id, bytes, options)),
    deleteRecord: (id, options) => call('deleteRecord', () => store.deleteRecord(id, options)),
    async *listRecords(filter) {
      try {
        yield* store.listRecords(filter);
      } catch (error) {
        throw failure('list the session records', error);
      }
    },
  };
  // A missing method is a missing capability, and must stay missing.
  const optional = ['listExpired', 'claim', 'release', 'getPage', 'putPage', 'deletePage', 'close'] as const;
  for (const name of optional) {
    if (store[name] === undefined) continue;
    const method = store[name].bind(store) as (...args: unknown[]) => Promise<never>;
    typed[name] = (...args: unknown[]) => call(name, () => method(...args));
  }
  if (store.stats !== undefined) typed.stats = () => figures(store);
  return typed;
}

async function call<T>(name: keyof typeof DOING, work: () => Promise<T>): Promise<T> {
  try {
    const answer = await work();
    ANSWERS[name]?.(`${name}()`, answer);
    return answer;
  } catch (error) {
    throw failure(DOING[name], error);
  }
}

/** A courtesy: none where there are none, and never a failure. */
function figures(store: SessionStore): Record<string, number> {
  try {
    const given: unknown = store.stats?.() ?? {};
    // It should not be asynchronous; if it is, its failure must not end the process.
    if (types.isPromise(given)) given.catch(() => undefined);
    return Object.fromEntries(Object.entries(given as object).filter(([, value]) => typeof value === 'number'));
  } catch {
    return {};
  }
}

function failure(doing: string, cause: unknown): LlamaError {
  if (cause instanceof LlamaError) return cause;
  return new LlamaError('STORE_FAILED', `The store could not ${doing}: ${messageOf(cause)}.`, { cause });
}
