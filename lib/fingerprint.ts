import { createHash, type Hash } from 'node:crypto';
import { open, type OpenFile } from './disk.js';
import type { ModelPart } from './native.js';

const CHUNK = 2 ** 18;
const SAMPLE = 4096;

/**
 * What identifies a model wherever it lies: SHA-256 over the length of its file, its header (metadata with the chat template,
 * vocabulary, tensor descriptions) and 4 KiB from the middle of each tensor; when it is split, of each part. Hashing all of a large
 * model would take longer than loading it; a fine-tune has the same header, but not the same numbers in the middle of every tensor.
 * @returns 32 hex digits
 */
export async function fingerprintModel(parts: readonly ModelPart[]): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(CHUNK);
  for (const part of parts) await addPart(hash, part, buffer);
  return hash.digest('hex').slice(0, 32);
}

async function addPart(
  hash: Hash,
  { path, headerBytes, fileBytes, tensors }: ModelPart,
  buffer: Buffer,
): Promise<void> {
  hash.update(String(fileBytes));
  const file = await open(path, 'r');
  try {
    for (let at = 0; at < headerBytes; at += CHUNK) {
      hash.update(await read(file, buffer, at, Math.min(CHUNK, headerBytes - at)));
    }
    for (let i = 0; i < tensors.length; i += 2) {
      const [offset = 0, bytes = 0] = tensors.subarray(i, i + 2);
      const length = Math.min(SAMPLE, bytes);
      hash.update(await read(file, buffer, offset + Math.floor((bytes - length) / 2), length));
    }
  } finally {
    await file.close();
  }
}

async function read(file: OpenFile, buffer: Buffer, position: number, length: number): Promise<Buffer> {
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}
