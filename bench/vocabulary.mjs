/** Real vocabularies, taken from the vocab files that llama.cpp ships. */
import { fileURLToPath } from 'node:url';
import { readHeader } from './gguf.mjs';

/** @typedef {import('./gguf.mjs').Value} Value */

const TYPE_NORMAL = 1;
const TYPE_CONTROL = 3;

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/**
 * All `tokenizer.*` metadata of a vocab file, with a chat template.
 * @param {string} name as in `ggml-vocab-NAME.gguf`
 * @param {number} [tokens] keep only this many; of byte-level BPE
 * @param {string} [template]
 * @returns {Map<string, Value>}
 */
export function loadVocabulary(name, tokens, template = CHATML) {
  const file = fileURLToPath(new URL(`../vendor/llama.cpp/models/ggml-vocab-${name}.gguf`, import.meta.url));
  const metadata = new Map([...readHeader(file).metadata].filter(([key]) => key.startsWith('tokenizer.')));
  if (tokens) shorten(metadata, tokens);
  metadata.set('tokenizer.chat_template', { type: 'string', value: template });
  return metadata;
}

/**
 * A byte-level BPE vocabulary is ordered by frequency and each token is made of earlier ones, so that its beginning is a
 * vocabulary too. The control tokens of ChatML come last.
 * @param {Map<string, Value>} metadata
 * @param {number} count
 */
function shorten(metadata, count) {
  const [tokens, types, merges] = ['tokens', 'token_type', 'merges'].map((key) => list(metadata, key));
  const control = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
  tokens.length = types.length = count - control.length;
  const kept = new Set(tokens);
  const keptMerges = merges.filter((merge) => {
    const [left, right] = merge.split(' ');
    return kept.has(left) && kept.has(right) && kept.has(left + right);
  });
  tokens.push(...control);
  types.push(...control.map(() => TYPE_CONTROL));
  metadata.set('tokenizer.ggml.merges', { type: 'array', of: 'string', value: keptMerges });
  metadata.set('tokenizer.ggml.bos_token_id', { type: 'u32', value: count - 3 });
  metadata.set('tokenizer.ggml.eos_token_id', { type: 'u32', value: count - 1 });
}

/** @param {Map<string, Value>} metadata */
export const vocabularySize = (metadata) => list(metadata, 'tokens').length;

/**
 * Tokens that a benchmark's greedy reply should not meet: they end it, or are part of a character, and text that has to wait
 * for the rest of its bytes would look like a slow step.
 * @param {Map<string, Value>} metadata
 * @returns {boolean[]} by token id
 */
export function awkwardTokens(metadata) {
  const types = list(metadata, 'token_type');
  const byteLevel = metadata.get('tokenizer.ggml.model')?.value === 'gpt2';
  return list(metadata, 'tokens').map((text, id) => {
    return types[id] !== TYPE_NORMAL || (byteLevel && !isWholeText(text));
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @param {string} token in GPT-2's alphabet, one letter per byte */
function isWholeText(token) {
  try {
    utf8.decode(Uint8Array.from(token, (letter) => BYTE_OF_LETTER.get(letter) ?? 0xff));
    return true;
  } catch {
    return false;
  }
}

/** GPT-2 writes the printable bytes as themselves and the others as the letters from U+0100 on, in order. */
const BYTE_OF_LETTER = (() => {
  const letters = new Map();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    letters.set(String.fromCodePoint(printable ? byte : next++), byte);
  }
  return letters;
})();

/**
 * @param {Map<string, Value>} metadata
 * @param {string} key
 * @returns {any[]}
 */
const list = (metadata, key) => metadata.get(`tokenizer.ggml.${key}`)?.value ?? [];
