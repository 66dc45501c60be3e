import { createHash } from 'node:crypto';
import { open, type OpenFile } from './disk.js';
import type { ModelLayout } from './native.js';

const CHUNK = 2 ** 18;
const SAMPLE = 4096;

/**
 * What identifies a model file wherever it lies: SHA-256 over its length, its header (metadata, vocabulary, tensor
 * descriptions) and 4 KiB from the middle of each tensor. Hashing all of a large model would take longer than loading it; a
 * fine-tune has the same header, but not the same numbers in the middle of every tensor.
 * @returns 32 hex digits
 */
export async function fingerprintModel(path: string, layout: ModelLayout): Promise<string> {
  const hash = createHash('sha256').update(String(layout.fileBytes));
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(CHUNK);
    for (let at = 0; at < layout.headerBytes; at += CHUNK) {
      hash.update(await read(file, buffer, at, Math.min(CHUNK, layout.headerBytes - at)));
    }
    for (let i = 0; i < layout.tensors.length; i += 2) {
      const [offset = 0, bytes = 0] = layout.tensors.subarray(i, i + 2);
      const length = Math.min(SAMPLE, bytes);
      hash.update(await read(file, buffer, offset + Math.floor((bytes - length) / 2), length));
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex').slice(0, 32);
}

async function read(file: OpenFile, buffer: Buffer, position: number, length: number): Promise<Buffer> {
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}
