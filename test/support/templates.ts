/** The recall model with other chat templates. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeHeader, readHeader } from '../../bench/gguf.mjs';
import type { Model } from '../../lib/index.js';
import { folder, loadRecall } from './models.js';
import { RECALL } from './recall.js';

/** Its token that stands for nothing. */
export const UNUSED = 959;

const CONTROL = 3; // LLAMA_TOKEN_TYPE_CONTROL

/**
 * @param change of its own template
 * @param options.control what to call its unused token, a control token then
 * @param options.in a folder; by default one that goes with the test
 * @returns the path of the model
 */
export async function recallWithTemplate(
  change: (own: string) => string,
  options: { control?: string; in?: string } = {},
): Promise<string> {
  const { control } = options;
  const { metadata, tensors, dataOffset } = readHeader(RECALL);
  const replace = (key: string, by: (own: unknown) => unknown): void => {
    const own = metadata.get(key);
    if (own === undefined) throw new Error(`the model has no ${key}`);
    metadata.set(key, { ...own, value: by(own.value) });
  };
  replace('tokenizer.chat_template', (own) => change(String(own)));
  if (control !== undefined) {
    replace('tokenizer.ggml.tokens', (own) => (own as string[]).with(UNUSED, control));
    replace('tokenizer.ggml.token_type', (own) => (own as number[]).with(UNUSED, CONTROL));
  }
  const path = join(options.in ?? (await folder()), 'templated.gguf');
  const data = (await readFile(RECALL)).subarray(dataOffset);
  await writeFile(path, Buffer.concat([encodeHeader(metadata, tensors).bytes, data]));
  return path;
}

/** One of the templates that llama.cpp tests itself with, `Qwen-Qwen3-0.6B` say. */
export async function templateOf(name: string): Promise<string> {
  return readFile(new URL(`../../vendor/llama.cpp/models/templates/${name}.jinja`, import.meta.url), 'utf8');
}

/** The recall model with one of them. */
export async function loadAs(name: string, store?: string): Promise<Model> {
  const template = await templateOf(name);
  return loadRecall(store === undefined ? {} : { store }, await recallWithTemplate(() => template));
}
