/** Models in several files: `llama-gguf-split --no-tensor-first-split` leaves nothing but metadata in the first one. */
import { copyFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeHeader, readHeader } from '../../bench/gguf.mjs';
import { loadModel } from '../../lib/index.js';
import { folder, loadRecall, says } from '../support/models.js';
import { RECALL } from '../support/recall.js';

const part = (number: number): string => `recall-0000${String(number)}-of-00002.gguf`;

/** The recall model in two parts; with `change`, some of its weights are others. */
async function split(path: string, change = 0): Promise<string> {
  const { metadata, tensors } = readHeader(RECALL);
  const file = await readFile(RECALL);
  const numbered = (number: number): [string, { type: 'u16' | 'i32'; value: number }][] => [
    ['split.no', { type: 'u16', value: number }],
    ['split.count', { type: 'u16', value: 2 }],
    ['split.tensors.count', { type: 'i32', value: tensors.length }],
  ];
  const first = encodeHeader(new Map([...metadata, ...numbered(0)]), []);
  const second = encodeHeader(new Map(numbered(1)), tensors);
  const data = Buffer.alloc(second.fileBytes - second.bytes.length);
  second.tensors.forEach(({ offset }, i) => {
    const { offset: from, bytes, name } = tensors[i] as (typeof tensors)[number];
    const weights = Buffer.from(file.subarray(from, from + bytes));
    if (name.endsWith('attn_k.weight'))
      for (let k = 0; k < weights.length; k += 2) weights[k] = (weights[k] ?? 0) ^ change;
    weights.copy(data, offset - second.bytes.length);
  });
  await writeFile(join(path, part(1)), first.bytes);
  await writeFile(join(path, part(2)), Buffer.concat([second.bytes, data]));
  return join(path, part(1));
}

test('a split model speaks like the whole one, and is told from another with the same first part', async () => {
  const model = await loadRecall({}, await split(await folder()));
  const session = await model.createSession({ sampling: { temperature: 0 } });
  expect(await says(session, 'My name is Mosoba.')).toBe('Noted: your name is Mosoba.');

  const same = await loadRecall({}, await split(await folder()));
  expect(same.info.fingerprint).toBe(model.info.fingerprint);
  const other = await loadRecall({}, await split(await folder(), 1));
  expect(other.info.fingerprint).not.toBe(model.info.fingerprint);
});

test('parts that are missing, cut off or misnamed are told', async () => {
  const parts = await folder();
  const path = await split(parts);
  const code = (at: string): Promise<unknown> =>
    loadModel(at).then(String, (error: unknown) => (error as { code: string }).code);
  expect(await code(join(parts, part(2)))).toBe('MODEL_INVALID');
  await copyFile(path, join(parts, 'other-name.gguf'));
  expect(await code(join(parts, 'other-name.gguf'))).toBe('MODEL_INVALID');
  await truncate(join(parts, part(2)), 100_000);
  await expect(loadModel(path)).rejects.toThrow(/-00002-of-00002\.gguf' is truncated/);
  await rm(join(parts, part(2)));
  expect(await code(path)).toBe('MODEL_NOT_FOUND');
});
