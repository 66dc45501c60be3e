/**
 * What the promise comes to; an error that names it when it takes longer. Default: 10 s, far more than anything here takes.
 * @template T @param {string} what @param {PromiseLike<T>} promise @param {number} [ms] @returns {Promise<T>}
 */
export async function within(what, promise, ms = 10_000) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  /** @type {Promise<never>} */
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: still pending after ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
