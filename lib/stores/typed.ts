import { LlamaError } from '../errors.js';
import type { SessionStore } from './store.js';

/**
 * The same store, whose failures are typed: what it throws, at once or later, becomes a STORE_FAILED with that as its `cause`.
 * A store that somebody else wrote may throw anything; nothing above it should have to know.
 */
export function typedStore(store: SessionStore): SessionStore {
  const typed: SessionStore = {
    getRecord: (id) => call('read a session record', () => store.getRecord(id)),
    putRecord: (id, bytes, options) => call('write a session record', () => store.putRecord(id, bytes, options)),
    deleteRecord: (id) => call('delete a session record', () => store.deleteRecord(id)),
    async *listRecords(filter) {
      try {
        yield* store.listRecords(filter);
      } catch (error) {
        throw failure('list the session records', error);
      }
    },
  };
  // A missing method is a missing capability, and must stay missing.
  if (store.getPage) typed.getPage = (key) => call('read a KV page', async () => store.getPage?.(key));
  if (store.putPage) {
    typed.putPage = (key, bytes, options) => call('write a KV page', async () => store.putPage?.(key, bytes, options));
  }
  if (store.deletePage) {
    typed.deletePage = (key) => call('delete a KV page', async () => (await store.deletePage?.(key)) ?? false);
  }
  return typed;
}

async function call<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw failure(doing, error);
  }
}

function failure(doing: string, cause: unknown): LlamaError {
  if (cause instanceof LlamaError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new LlamaError('STORE_FAILED', `The store could not ${doing}: ${why}.`, { cause });
}
