import { date, demand, integer, options, refusal, text, type Shape } from './checks.js';
import { LlamaError, messageOf } from './errors.js';
import { checkMessages } from './messages.js';
import type { SessionSettings } from './options.js';
import { seal, tokenBytes, tokensFrom, unseal } from './sealed.js';
import { idCheck, metadataCheck, SETTINGS } from './shapes.js';
import type { Message } from './types.js';

/** The durable truth of a session. Everything else, its KV above all, can be made from it. */
export interface SessionRecord {
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** Milliseconds since 1970. */
  modifiedAt: number;
  messages: readonly Message[];
  metadata: Readonly<Record<string, string>>;
  settings: SessionSettings;
  /** Of the model whose tokens these are. */
  fingerprint: string;
  tokens: Int32Array;
  /** How many of them, from the first on, had KV. Where its pages are follows from their names. */
  kvTokens: number;
}

/** What begins every record, in a store and in an export file. */
export const RECORD_KIND = 'LSRECORD';
const FORMAT = 1;

const RECORD: Shape<Omit<SessionRecord, 'tokens'>> = {
  id: idCheck,
  createdAt: date,
  modifiedAt: date,
  messages: (name, value) => void checkMessages(value, name),
  metadata: metadataCheck,
  settings: options(SETTINGS),
  fingerprint: text(0, 1024),
  kvTokens: integer(0, Number.MAX_SAFE_INTEGER),
};

/** The record as bytes for a store; `decodeRecord()` gives an equal one. */
export function encodeRecord(record: SessionRecord): Uint8Array {
  const { tokens, ...rest } = record;
  const json = Buffer.from(JSON.stringify(rest));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.byteLength);
  return seal(RECORD_KIND, FORMAT, [length, json, tokenBytes(tokens)]);
}

/**
 * The record in these bytes, which may come from anywhere (R12).
 * @throws LlamaError SNAPSHOT_CORRUPT when they are no whole record, SNAPSHOT_MISMATCH when a newer version wrote them
 */
export function decodeRecord(bytes: Uint8Array): SessionRecord {
  const body = unseal(RECORD_KIND, FORMAT, bytes);
  if (body === 'newer')
    throw new LlamaError(
      'SNAPSHOT_MISMATCH',
      'A newer version wrote this session record; upgrade this package to read it.',
    );
  if (body === 'damaged') throw corrupt('it is cut off, changed, or no session record');
  try {
    return parse(body);
  } catch (error) {
    throw corrupt(messageOf(error), error);
  }
}

/** A checksum keeps out damage, not malice: each field is checked as well. */
function parse(body: Uint8Array): SessionRecord {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const jsonEnd = 4 + bytes.readUInt32LE(0);
  const tokenSpace = bytes.byteLength - jsonEnd;
  if (tokenSpace < 0 || tokenSpace % 4 !== 0)
    throw new RangeError(refusal('the length of its fields', 'that of its bytes', jsonEnd));
  const fields = JSON.parse(bytes.toString('utf8', 4, jsonEnd)) as Omit<SessionRecord, 'tokens'>;
  options(RECORD)('record', fields);
  demand('record', fields, Object.keys(RECORD));
  demand('record.settings', fields.settings, ['sampling', 'stop', 'priority', 'pinned', 'overflow']);
  const tokens = tokensFrom(bytes.subarray(jsonEnd));
  integer(0, tokens.length)('record.kvTokens', fields.kvTokens);
  return { ...fields, tokens };
}

function corrupt(why: string, cause?: unknown): LlamaError {
  const message = `The session record is damaged (${why}); restore it from a copy, or delete the session.`;
  return new LlamaError('SNAPSHOT_CORRUPT', message, cause === undefined ? undefined : { cause });
}
