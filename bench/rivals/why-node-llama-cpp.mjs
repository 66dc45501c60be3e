/**
 * Where node-llama-cpp's time goes, for docs/performance.md: it is run once as it is, and once with its batches in order of
 * their sequences, and every call of its addon is counted on the way.
 *
 *     node bench/rivals/why-node-llama-cpp.mjs MODEL [THREADS] [SESSIONS …]
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { promptText } from '../arrivals.mjs';
import { round } from '../measure.mjs';
import { endProgress, progress, table } from '../report.mjs';

const [modelPath, threads = '2', ...counts] = process.argv.slice(2);
const MAX_TOKENS = 96;

const require = createRequire(new URL('../package.json', import.meta.url));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(require.resolve('node-llama-cpp')).href);
const llama = await getLlama({
  gpu: false,
  build: 'never',
  skipDownload: true,
  maxThreads: Number(threads),
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });

const rows = [];
for (const count of counts.length ? counts.map(Number) : [1, 2, 4, 8, 16]) {
  for (const inOrder of [false, true]) {
    rows.push(await measure(count, inOrder));
    progress(`${count} sessions${inOrder ? ', in order' : ''}: ${rows.at(-1)?.['tok/s']} tok/s`);
  }
}
endProgress();
console.log(table(rows));
process.exit(0);

/** @param {number} count @param {boolean} inOrder */
async function measure(count, inOrder) {
  // Its own strategy, but in the order of the sequences: `items` come in the order of `_queuedDecodes`.
  const strategy = (/** @type {{ items: any[], size: number }} */ { items, size }) => {
    const sequences = context._queuedDecodes.map((/** @type {any} */ queued) => queued.sequenceId);
    const order = items.map((_, i) => i).sort((a, b) => sequences[a] - sequences[b]);
    const share = Math.floor(size / items.length);
    return order.map((i) => ({ item: items[i], processAmount: Math.min(items[i].tokens.length, share) }));
  };
  const context = await model.createContext({
    sequences: count,
    contextSize: 64 + MAX_TOKENS + 64,
    batchSize: 512,
    threads: Number(threads),
    flashAttention: true,
    failedCreationRemedy: false,
    ...(inOrder && { batching: { itemPrioritizationStrategy: strategy } }),
  });
  const seen = watch(context._ctx);
  const sequences = Array.from({ length: count }, () => context.getSequence());
  let [tokens, speaking, from, to] = [0, 0, 0, 0];
  await Promise.all(
    sequences.map(async (sequence, i) => {
      let said = 0;
      for await (const _token of sequence.evaluate(model.tokenize(promptText(i, 64)), {
        temperature: 0,
        yieldEogToken: true,
      })) {
        if (++said === 1 && ++speaking === count) {
          from = performance.now();
          Object.assign(seen, { batches: 0, sequences: 0, runs: 0, decodeMs: 0 });
        }
        if (speaking === count && to === 0 && said > 1) tokens++;
        if (said >= MAX_TOKENS) {
          to ||= performance.now();
          seen.ended = true;
          break;
        }
      }
    }),
  );
  await context.dispose();
  const batches = Math.max(1, seen.batches);
  return {
    sessions: count,
    batches: inOrder ? 'in order' : 'as it is',
    'tok/s': round((tokens / (to - from)) * 1000, 1),
    'sequences per llama_decode': round(seen.sequences / batches),
    'graphs per llama_decode': round(seen.runs / batches),
    'ms in llama_decode': round(seen.decodeMs / batches),
    'ms between': round((to - from - seen.decodeMs) / batches),
  };
}

/**
 * Counts what goes into `llama_decode`. In the streams layout, which it always uses, only sequences with consecutive ids, one
 * after the other in the batch, are computed in one graph: each run of such ids is a graph of its own.
 * @param {any} addon
 */
function watch(addon) {
  const seen = { batches: 0, sequences: 0, runs: 0, decodeMs: 0, ended: false };
  /** @type {number[]} */
  let ids = [];
  const [addToBatch, decodeBatch] = [addon.addToBatch.bind(addon), addon.decodeBatch.bind(addon)];
  const counting = {
    addToBatch: (/** @type {number} */ id, /** @type {any[]} */ ...more) => {
      ids.push(id);
      return addToBatch(id, ...more);
    },
    decodeBatch: async () => {
      const mine = ids;
      ids = [];
      const began = performance.now();
      await decodeBatch();
      if (seen.ended) return;
      seen.batches++;
      seen.sequences += mine.length;
      seen.runs += mine.filter((id, i) => i === 0 || id !== mine[i - 1] + 1).length;
      seen.decodeMs += performance.now() - began;
    },
  };
  for (const [name, value] of Object.entries(counting)) Object.defineProperty(addon, name, { value });
  return seen;
}
