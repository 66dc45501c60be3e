import { Ledger } from '../../lib/stores/ledger.js';
import { hashesIn } from '../../lib/stores/records.js';
import { keys, readListed, readPage, readTotals, rest, tables } from '../../lib/stores/tables.js';
import { auditWith } from './audit.mjs';

const parts = { Ledger, hashesIn, keys, readListed, readPage, readTotals, rest, tables };

/** What must be true of a directory at every moment, and of its files after a sweep by the only process that uses it. */
export function audit(root: string): Promise<void> {
  return auditWith(parts, root);
}
