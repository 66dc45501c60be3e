// node answers.cjs MODEL: the same by require().
const { LlamaError, loadModel } = require('llama-sessions');
const ada = require('./ada.cjs');

async function main() {
  const text = await ada(loadModel, process.argv[2]);
  const { LlamaError: imported } = await import('llama-sessions');
  if (imported !== LlamaError) throw new Error('import and require() gave two copies of the package');
  console.log(text);
}

main();
