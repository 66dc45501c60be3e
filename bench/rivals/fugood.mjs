/** @fugood/llama.node: its parallel mode, the native slots of which are those of llama-server. It takes prompts as text only. */
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @typedef {import('../contestant.mjs').OpenOptions} OpenOptions */
/** @typedef {import('../contestant.mjs').Contestant} Contestant */

const require = createRequire(new URL('../package.json', import.meta.url));

/** @param {OpenOptions} options @returns {Promise<Contestant>} */
export async function open({ model, threads, batchTokens, sequences, tokensEach, folder }) {
  const { loadModel } = require('@fugood/llama.node');
  const context = await loadModel({
    model,
    n_ctx: sequences * tokensEach,
    n_parallel: sequences,
    n_batch: batchTokens,
    n_ubatch: batchTokens,
    n_threads: threads,
    n_gpu_layers: 0,
    lib_variant: 'default',
    flash_attn_type: 'on',
  });
  await context.parallel.enable({ n_parallel: sequences, n_batch: batchTokens });
  return {
    version: require('@fugood/llama.node/package.json').version,
    queues: true,
    count: async (text) => (await context.tokenize(text)).tokens.length,
    async speak({ prompt, maxTokens, onPiece, signal }) {
      const options = { prompt, n_predict: maxTokens, temperature: 0, ignore_eos: true, seed: 1, penalty_repeat: 1 };
      let told = 0;
      const request = await context.parallel.completion(options, () => {
        told++;
        onPiece(1);
      });
      signal?.addEventListener('abort', () => request.stop(), { once: true });
      const result = await request.promise.catch((/** @type {unknown} */ error) => {
        if (!signal?.aborted) throw error; // stop() rejects
      });
      // It says nothing of tokens the text of which it holds back.
      if (result?.tokens_predicted > told) onPiece(result.tokens_predicted - told);
    },
    async move(prompt) {
      const file = join(folder ?? tmpdir(), `fugood-${process.pid}.state`);
      context.parallel.disable(); // its sessions are not those of the parallel mode
      await context.completion({ prompt, n_predict: 1, temperature: 0, ignore_eos: true });
      const saving = performance.now();
      await context.saveSession(file);
      const saveMs = performance.now() - saving;
      const restoring = performance.now();
      await context.loadSession(file);
      return { saveMs, restoreMs: performance.now() - restoring, bytes: statSync(file).size };
    },
    close: () => context.release(),
  };
}
