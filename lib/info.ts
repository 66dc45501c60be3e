/** What a listing tells of a session without reading its record. */
import { date, demand, integer, options, text, type, type Shape } from './checks.js';
import type { Conversation } from './conversation.js';
import { metadataCheck } from './shapes.js';
import type { SessionInfo } from './types.js';

/** Longest summary, in characters. */
const SUMMARY = 80;

type Stored = Omit<SessionInfo, 'id' | 'createdAt' | 'modifiedAt' | 'expiresAt' | 'residency'> & {
  createdAt: number;
  modifiedAt: number;
  hasKv: boolean;
};

const STORED: Shape<Stored> = {
  createdAt: date,
  modifiedAt: date,
  summary: text(0, SUMMARY * 2),
  messages: integer(0, Number.MAX_SAFE_INTEGER),
  tokens: integer(0, Number.MAX_SAFE_INTEGER),
  metadata: metadataCheck,
  hasKv: type('boolean'),
};

/** Goes into the store with the record. */
export function infoOf(conversation: Conversation): Uint8Array {
  const { createdAt, modifiedAt, messages, tokens, metadata, usableTokens } = conversation;
  const first = messages.find((message) => message.role === 'user');
  const stored: Stored = {
    createdAt,
    modifiedAt,
    summary: Array.from(first?.content.slice(0, 2 * SUMMARY) ?? '')
      .slice(0, SUMMARY)
      .join(''),
    messages: messages.length,
    tokens: tokens.length,
    metadata: { ...metadata },
    hasKv: usableTokens.length > 0,
  };
  return Buffer.from(JSON.stringify(stored));
}

/** The reverse of `infoOf()`. @throws SyntaxError, RangeError, TypeError when it is damaged */
export function sessionInfo(id: string, info: Uint8Array, expiresAt: number | undefined): SessionInfo {
  const stored = JSON.parse(Buffer.from(info).toString()) as Stored;
  options(STORED)('info', stored);
  demand('info', stored, Object.keys(STORED));
  const { createdAt, modifiedAt, summary, messages, tokens, metadata, hasKv } = stored;
  return {
    id,
    createdAt: new Date(createdAt),
    modifiedAt: new Date(modifiedAt),
    ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt) }),
    summary,
    messages,
    tokens,
    residency: hasKv ? 'store' : 'none',
    metadata,
  };
}
