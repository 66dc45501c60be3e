// node beside.mjs MODEL ours|theirs: llama-sessions and node-llama-cpp in one process, the named one first. Both answer.
const [file, first] = process.argv.slice(2);

async function ours() {
  const { loadModel } = await import('llama-sessions');
  const model = await loadModel(file, { threads: 1, contextTokens: 2048, maxResident: 4 });
  const session = await model.createSession({ sampling: { temperature: 0 } });
  await session.send('My name is Ada.');
  const say = async () => (await session.send('What is my name?')).text;
  return { say, close: () => model.close() };
}

async function theirs() {
  const { getLlama, LlamaChatSession } = await import('node-llama-cpp');
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: 1 });
  const model = await llama.loadModel({ modelPath: file });
  const context = await model.createContext({ contextSize: 512 });
  const session = new LlamaChatSession({ contextSequence: context.getSequence() });
  await session.prompt('My name is Bob.', { temperature: 0 });
  const say = () => session.prompt('What is my name?', { temperature: 0 });
  return { say, close: () => llama.dispose() };
}

const parties = [];
for (const open of first === 'ours' ? [ours, theirs] : [theirs, ours]) parties.push([open.name, await open()]);
const said = Object.fromEntries(await Promise.all(parties.map(async ([name, party]) => [name, await party.say()])));
for (const [, party] of parties) await party.close();
if (said.ours !== 'Your name is Ada.') throw new Error(`llama-sessions said: ${said.ours}`);
if (!said.theirs.includes('Bob')) throw new Error(`node-llama-cpp said: ${said.theirs}`);
console.log(JSON.stringify(said));
