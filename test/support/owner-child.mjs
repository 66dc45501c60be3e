/**
 * Has sessions of a directory, and does with them what the parent asks: [number, name of a step, arguments …]. It answers
 * [number, what came of it], or [number, undefined, the error's code]. Arguments: library, model, directory.
 */
const [, , library, path, store] = process.argv;
const { loadModel } = await import(library);
const model = await loadModel(path, { threads: 1, contextTokens: 4096, store, cache: { restore: 'always' } });

const steps = {
  async create(id) {
    await model.createSession({ id, sampling: { temperature: 0 } });
  },
  async resume(id, options) {
    return (await model.resumeSession(id, options)).messages.length;
  },
  async send(id, text) {
    return (await model.getSession(id).send(text)).text;
  },
  state: (id) => model.getSession(id)?.state ?? 'closed',
  /** Until pages have been written behind, by nobody's order. */
  async written() {
    while (!(model.stats().storeWrites > 0)) await new Promise((resolve) => setTimeout(resolve, 20));
  },
  close: (id) => model.getSession(id).close(),
};

// One that nobody holds would be closed.
const held = [];
process.on('message', async ([number, step, ...given]) => {
  try {
    const result = await steps[step](...given);
    held.push(model.getSession(given[0] ?? 'none'));
    process.send([number, result]);
  } catch (error) {
    process.send([number, undefined, error.code ?? String(error)]);
  }
});
