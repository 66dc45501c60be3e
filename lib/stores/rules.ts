/** What the stores of this package do alike. */
import { LlamaError } from '../errors.js';
import type { ListedRecord, RecordFilter, StoredRecord } from './store.js';

/** The refusal of a write whose writer has not read the newest version. @param stored 0: there is none */
export function conflict(expected: number, stored: number): LlamaError {
  const found = stored === 0 ? 'no record is stored' : `version ${String(stored)} is stored`;
  const message = `The session was changed elsewhere (${found}, version ${String(expected)} was expected); resume it and send again.`;
  return new LlamaError('SESSION_CONFLICT', message);
}

/** A listing from all ids of a store, in any order. @param get of a record that may have gone since */
export async function* listInOrder(
  ids: readonly string[],
  filter: RecordFilter,
  get: (id: string) => Promise<StoredRecord | undefined>,
): AsyncGenerator<ListedRecord, void> {
  const { prefix = '', after, limit = Infinity } = filter;
  const wanted = ids.filter((id) => id.startsWith(prefix) && (after === undefined || id > after));
  let left = limit;
  // sort() without a function compares UTF-16 units, as the contract says.
  for (const id of wanted.sort()) {
    if (left <= 0) return;
    const record = await get(id);
    if (record === undefined) continue;
    left--;
    yield { id, ...record };
  }
}
