import { types } from 'node:util';
import { date, integer, list, object, refusal, text, type, type Check } from '../checks.js';
import { LlamaError, messageOf } from '../errors.js';
import type { ListedRecord, SessionStore } from './store.js';

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

const version = integer(1, Number.MAX_SAFE_INTEGER);
const bytes: Check = (name, value) => {
  // Not by instanceof: other realms have their own class.
  if (!types.isUint8Array(value)) throw new TypeError(refusal(name, 'a Uint8Array', value));
};
const listed = fields({ id: text(0, Infinity), expiresAt: unlessAbsent(date) });
/** What is checked of answers: what would fail where nobody thinks of the store any more. */
const ANSWERS: { readonly [Name in keyof typeof DOING]?: Check } = {
  getRecord: unlessAbsent(fields({ version, bytes, expiresAt: unlessAbsent(date) })),
  putRecord: version,
  listExpired: list(text(0, Infinity), Infinity),
  getPage: unlessAbsent(bytes),
};

/**
 * The same store, whose failures are typed: what it throws, at once or later, becomes a STORE_FAILED with that as its `cause`, and so
 * does an answer that the contract does not know. A store that somebody else wrote may do anything; nothing above it should have
 * to know.
 */
export function typedStore(store: SessionStore): SessionStore {
  const typed: SessionStore = {
    getRecord: (id) => call('getRecord', async () => withoutNull(await store.getRecord(id))),
    putRecord: (id, bytes, options) => call('putRecord', () => store.putRecord(id, bytes, options)),
    deleteRecord: (id, options) => call('deleteRecord', () => store.deleteRecord(id, options)),
    async *listRecords(filter) {
      try {
        for await (const record of store.listRecords(filter)) {
          listed('each record', record);
          yield withoutNull(record) as ListedRecord;
        }
      } catch (error) {
        throw failure('list the session records', error);
      }
    },
  };
  // A missing method is a missing capability, and must stay missing.
  const optional = ['listExpired', 'claim', 'release', 'getPage', 'putPage', 'deletePage', 'close'] as const;
  for (const name of optional) {
    if (!has(store, name)) continue;
    const method = store[name]?.bind(store) as (...args: unknown[]) => Promise<unknown>;
    typed[name] = (...args: unknown[]) => call(name, async () => ((await method(...args)) ?? undefined) as never);
  }
  if (has(store, 'stats')) typed.stats = () => figures(store);
  return typed;
}

/** @throws TypeError when it is no method */
function has(store: SessionStore, name: keyof SessionStore): boolean {
  const method: unknown = Reflect.get(store, name);
  if (method === undefined || method === null) return false;
  type('function')(`store.${name}`, method);
  return true;
}

/** Objects with these fields, whatever else a database keeps with them. */
function fields(shape: Readonly<Record<string, Check>>): Check {
  return (name, value) => {
    const given = object(name, value);
    for (const [key, check] of Object.entries(shape)) check(`${name}.${key}`, given[key]);
  };
}

function unlessAbsent(check: Check): Check {
  return (name, value) => {
    if (value !== undefined && value !== null) check(name, value);
  };
}

/** Databases say null for what is not there: no record, or one that never expires. */
function withoutNull<T extends { expiresAt?: number }>(given: T | undefined): T | undefined {
  const record = given as (Omit<T, 'expiresAt'> & { expiresAt?: number | null }) | null | undefined;
  if (record?.expiresAt !== null) return given ?? undefined;
  const { expiresAt: _never, ...rest } = record;
  return rest as unknown as T;
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
