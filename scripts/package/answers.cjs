// node answers.cjs MODEL: the same by require().
const { LlamaError, loadModel } = require('llama-sessions');

async function main() {
  const model = await loadModel(process.argv[2], { threads: 1, contextTokens: 2048, maxResident: 4 });
  const session = await model.createSession({ sampling: { temperature: 0 } });
  await session.send('My name is Ada.');
  const { text } = await session.send('What is my name?');
  await model.close();
  if (text !== 'Your name is Ada.') throw new Error(`It said: ${text}`);
  const { LlamaError: imported } = await import('llama-sessions');
  if (imported !== LlamaError) throw new Error('import and require() gave two copies of the package');
  console.log(text);
}

main();
