import { sha256, tokenBytes } from './sealed.js';
import { createHash } from 'node:crypto';

/** KV of consecutive tokens of a sequence, by name. */
export interface Page {
  key: string;
  /** Position of its first token. */
  from: number;
  /** Position after its last one. */
  to: number;
}

/** A shorter page costs more to move and to name than to compute again. */
const LEAST_TOKENS = 16;

/**
 * Names pages by the prefix that they end: key = SHA-256 of the key before it and the page's tokens, the first one's of what
 * the KV belongs to. Sessions that begin alike therefore name the same pages, on every machine.
 */
export class PageNames {
  readonly #root: Buffer;
  readonly #pageTokens: number;

  /** @param pageTokens of a full page; Infinity: a sequence is one page, as a whole */
  constructor(fingerprint: string, kvFormat: string, pageTokens: number) {
    this.#root = sha256(Buffer.from(JSON.stringify([fingerprint, kvFormat])));
    this.#pageTokens = pageTokens;
  }

  /** Of all tokens, in order; the last page may be short, or left out when it is too short to be of use. */
  of(tokens: Int32Array): Page[] {
    const pages: Page[] = [];
    let parent = this.#root;
    for (let from = 0; from < tokens.length; from += this.#pageTokens) {
      const to = Math.min(from + this.#pageTokens, tokens.length);
      if (to - from < Math.min(LEAST_TOKENS, this.#pageTokens)) break;
      parent = createHash('sha256')
        .update(parent)
        .update(tokenBytes(tokens.subarray(from, to)))
        .digest();
      pages.push({ key: parent.toString('hex'), from, to });
    }
    return pages;
  }

  /** Whether it ends where the next one begins, so that others may share it. */
  isFull(page: Page): boolean {
    return page.to - page.from === this.#pageTokens;
  }
}
