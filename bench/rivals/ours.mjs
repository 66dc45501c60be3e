/** llama-sessions itself, through the same interface as its rivals: no case measures it in another way than them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadModel } from '../../dist/index.js';

/** @typedef {import('../contestant.mjs').OpenOptions} OpenOptions */
/** @typedef {import('../contestant.mjs').Contestant} Contestant */

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

/** @param {OpenOptions} options @returns {Promise<Contestant>} */
export async function open({ model: path, threads, batchTokens, sequences, tokensEach, kvLayout, folder }) {
  const model = await loadModel(path, {
    speculation: 'off', // random weights repeat themselves, which would flatter it
    gpuLayers: 0,
    threads,
    batchTokens,
    maxResident: sequences,
    contextTokens: sequences * tokensEach,
    ...(kvLayout && { kvLayout }),
    ...(folder && { store: join(folder, `ours-${process.pid}`), cache: { ramBytes: 0, restore: 'always' } }),
  });
  return {
    version,
    queues: true,
    count: async (text) => model.tokenize(text).length,
    async speak({ prompt, maxTokens, onPiece, signal }) {
      const session = await model.createSession();
      const turn = session.complete(prompt, { maxTokens, ignoreEog: true, sampling: { temperature: 0 } });
      signal?.addEventListener('abort', () => turn.cancel(), { once: true });
      for await (const piece of turn) onPiece(piece.tokens.length);
      await session.delete();
    },
    async move(prompt) {
      const turn = { maxTokens: 1, ignoreEog: true, sampling: { temperature: 0 } };
      const session = await model.createSession();
      await session.complete(prompt, turn);
      const saving = performance.now();
      await session.save();
      const saveMs = performance.now() - saving;
      const bytes = model.stats().storeWriteBytes;
      await session.park(); // with no RAM to park it in: only the store has it
      const { restoreMs } = (await session.complete(prompt, turn)).timings;
      return { saveMs, restoreMs, bytes };
    },
    threads: () => model.stats().threads,
    close: () => model.close(),
  };
}
