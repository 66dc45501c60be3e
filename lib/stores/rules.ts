/** What the stores of this package do alike. */
import { LlamaError } from '../errors.js';

/** The refusal of a write whose writer has not read the newest version. @param stored 0: there is none */
export function conflict(expected: number, stored: number): LlamaError {
  const found = stored === 0 ? 'no record is stored' : `version ${String(stored)} is stored`;
  const message = `The session was changed elsewhere (${found}, version ${String(expected)} was expected); resume it and send again.`;
  return new LlamaError('SESSION_CONFLICT', message);
}
