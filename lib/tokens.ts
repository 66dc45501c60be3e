/** What a session without tokens has. */
export const NO_TOKENS: Int32Array = new Int32Array(0);

/** How many tokens two sequences have in common from the first on. */
export function commonPrefix(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let i = 0;
  while (i < most && a[i] === b[i]) i++;
  return i;
}

/** `a`, then `b`. */
export function joinTokens(a: Int32Array, b: Int32Array): Int32Array {
  const joined = new Int32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** Whether a model with so many tokens has this one. */
export function isToken(token: number, vocabularySize: number): boolean {
  return Number.isInteger(token) && token >= 0 && token < vocabularySize;
}

/** Token ids from outside, checked. @throws TypeError, RangeError */
export function checkTokens(given: ArrayLike<number>, vocabularySize: number, name: string = 'tokens'): Int32Array {
  if (typeof given !== 'object' || (given as unknown) === null || typeof given.length !== 'number') {
    throw new TypeError(`${name} must be an array of token ids`);
  }
  return Int32Array.from(given, (token, i) => {
    if (isToken(token, vocabularySize)) return token;
    throw new RangeError(
      `${name}[${String(i)}] must be a token id from 0 to ${String(vocabularySize - 1)}, got ${String(token)}`,
    );
  });
}
