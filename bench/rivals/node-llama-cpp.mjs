/**
 * node-llama-cpp: sequences of one context, each read with `evaluate()`, its fastest public path: nothing becomes text, and
 * no stop strings are looked for. `yieldEogToken` is how it goes on past end tokens.
 */
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @typedef {import('../contestant.mjs').OpenOptions} OpenOptions */
/** @typedef {import('../contestant.mjs').Contestant} Contestant */

const require = createRequire(new URL('../package.json', import.meta.url));

/** @param {OpenOptions} options @returns {Promise<Contestant>} */
export async function open({ model: path, threads, batchTokens, sequences, tokensEach, folder, quiet }) {
  const { getLlama, getModuleVersion, LlamaLogLevel } = await import(
    pathToFileURL(require.resolve('node-llama-cpp')).href
  );
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({
    sequences,
    contextSize: tokensEach,
    batchSize: batchTokens,
    threads,
    flashAttention: true,
    failedCreationRemedy: false,
  });
  const all = Array.from({ length: sequences }, () => context.getSequence());
  // Beside a timer it is faster, with 32 sequences of the 15M shape six times: a thread that often wakes waits less for those that spin.
  if (!quiet) setInterval(() => undefined, 1).unref();
  return {
    version: `${await getModuleVersion()}, llama.cpp ${llama.llamaCppRelease.release}`,
    queues: false,
    count: async (text) => model.tokenize(text).length,
    async speak({ slot, prompt, maxTokens, onPiece, signal }) {
      let tokens = 0;
      for await (const _token of all[slot].evaluate(model.tokenize(prompt), { temperature: 0, yieldEogToken: true })) {
        onPiece(1);
        if (++tokens >= maxTokens || signal?.aborted) break;
      }
      await all[slot].clearHistory();
    },
    async move(prompt) {
      const file = join(folder ?? tmpdir(), `node-llama-cpp-${process.pid}.state`);
      const sequence = all[0];
      await sequence.evaluateWithoutGeneratingNewTokens(model.tokenize(prompt));
      const saving = performance.now();
      const { fileSize: bytes } = await sequence.saveStateToFile(file);
      const saveMs = performance.now() - saving;
      await sequence.clearHistory();
      const restoring = performance.now();
      await sequence.loadStateFromFile(file, { acceptRisk: true });
      return { saveMs, restoreMs: performance.now() - restoring, bytes };
    },
    close: () => llama.dispose(),
  };
}
