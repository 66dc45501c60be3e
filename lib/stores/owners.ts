import { randomBytes } from 'node:crypto';
import { LlamaError } from '../errors.js';
import { SILENCE_MS } from './claims.js';
import { ended, self, thread, type ProcessName } from './process.js';
import { claimedElsewhere } from './rules.js';
import { keys, LONGEST_ID, rest, tables } from './tables.js';
import type { Draft, View } from './view.js';

/** Who claims sessions: a store object. */
interface Owner extends ProcessName {
  /** Of the thread that made the store: one that is terminated leaves its claims in a process that lives. */
  thread: number;
  /** When it last said that it lives. */
  beatAt: number;
}

/** A new owner's name. */
export function newOwner(): string {
  return randomBytes(16).toString('hex');
}

/** @throws LlamaError SESSION_CONFLICT when somebody else who lives has it */
export function claim(draft: Draft, id: string, owner: string, takeOver: boolean): void {
  if (id.length > LONGEST_ID) throw tooLong();
  if (!takeOver) checkClaim(draft, id, owner);
  draft.put(keys.claim(id), Buffer.from(owner, 'latin1'));
  beat(draft, owner);
}

/** Has no effect on what somebody else has taken over. */
export function release(draft: Draft, id: string, owner: string): void {
  if (ownerOf(draft, id) === owner) draft.remove(keys.claim(id));
}

/** Says that the owner lives; to be repeated every ten seconds. */
export function beat(draft: Draft, owner: string): void {
  const value: Owner = { ...self, thread, beatAt: Date.now() };
  draft.put(keys.owner(owner), Buffer.from(JSON.stringify(value)));
}

/** After its claims were released. */
export function leave(draft: Draft, owner: string): void {
  draft.remove(keys.owner(owner));
}

/** @throws LlamaError SESSION_CONFLICT when somebody else who lives has claimed it */
export function checkClaim(view: View, id: string, owner: string): void {
  const claimed = ownerOf(view, id);
  if (claimed === undefined || claimed === owner || !lives(view, claimed)) return;
  throw claimedElsewhere();
}

/** Forgets owners that have ended, and what they claimed. */
export function buryOwners(draft: Draft): void {
  for (const [key] of draft.range(...tables.owners, Infinity)) {
    if (!lives(draft, rest.owner(key))) draft.remove(key);
  }
  for (const [key, value] of draft.range(...tables.claims, Infinity)) {
    if (draft.get(keys.owner(value.toString('latin1'))) === undefined) draft.remove(key);
  }
}

function ownerOf(view: View, id: string): string | undefined {
  return id.length > LONGEST_ID ? undefined : view.get(keys.claim(id))?.toString('latin1');
}

function lives(view: View, name: string): boolean {
  const value = view.get(keys.owner(name));
  if (value === undefined) return false;
  const owner = JSON.parse(value.toString()) as Owner;
  const over = ended(owner);
  // A heartbeat of the future, of a clock that was set back since, counts no longer than one of now.
  const heard = Math.abs(Date.now() - owner.beatAt) < SILENCE_MS;
  return over === undefined || (!over && owner.thread !== 0) ? heard : !over;
}

/** The refusal of an id that no key of the index can hold. */
export function tooLong(): LlamaError {
  return new LlamaError(
    'STORE_FAILED',
    `The id is too long for a DirectoryStore; it may have ${String(LONGEST_ID)} characters.`,
  );
}
