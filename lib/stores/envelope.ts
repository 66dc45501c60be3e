import { number, options, text } from '../checks.js';

/**
 * What DirectoryStore puts before a record, so that it can list without knowing what a record is:
 *
 *     4 bytes  magic
 *     4 bytes  length of the label, little-endian
 *     4 bytes  length of the record, little-endian
 *              label: JSON of the id and the expiry
 */
export interface Label {
  id: string;
  /** Milliseconds since 1970; absent: never. */
  expiresAt?: number;
}

/** A label, and where in the file the record is. */
export interface Opened {
  label: Label;
  start: number;
  end: number;
}

const MAGIC = 'LSE1';
const PREFIX = 12;
const labelCheck = options({ id: text(0, Infinity), expiresAt: number(-8.64e15, 8.64e15) });

/** The bytes that go before a record of so many bytes. */
export function envelope(label: Label, recordBytes: number): Uint8Array {
  // What could not be read again must not be written.
  labelCheck('label', label);
  // JSON writes unpaired surrogates as escapes: any id comes back as it was.
  const json = Buffer.from(JSON.stringify(label));
  const bytes = Buffer.alloc(PREFIX + json.byteLength);
  bytes.write(MAGIC, 'latin1');
  bytes.writeUInt32LE(json.byteLength, 4);
  bytes.writeUInt32LE(recordBytes, 8);
  json.copy(bytes, PREFIX);
  return bytes;
}

/**
 * Reads an envelope.
 * @param beginning of the file; `short` when the label doesn't end in it
 * @param fileBytes of the whole file
 * @returns `torn`: a power failure cut the file off or left it blank; `damaged`: this store never wrote it
 */
export function openEnvelope(beginning: Uint8Array, fileBytes: number): Opened | 'torn' | 'damaged' | 'short' {
  const bytes = Buffer.from(beginning.buffer, beginning.byteOffset, beginning.byteLength);
  if (fileBytes < PREFIX || bytes.readUInt32LE(0) === 0) return 'torn';
  if (bytes.toString('latin1', 0, 4) !== MAGIC) return 'damaged';
  const start = PREFIX + bytes.readUInt32LE(4);
  const end = start + bytes.readUInt32LE(8);
  if (fileBytes < end) return 'torn';
  if (fileBytes > end) return 'damaged';
  if (bytes.byteLength < start) return 'short';
  const label = parse(bytes.toString('utf8', PREFIX, start));
  return label === undefined ? 'damaged' : { label, start, end };
}

function parse(json: string): Label | undefined {
  try {
    const label = JSON.parse(json) as Label;
    labelCheck('label', label);
    return typeof label.id === 'string' ? label : undefined;
  } catch {
    return undefined;
  }
}
