// node answers.mjs MODEL [worker]: a chat with the recall model, by the llama-sessions that is installed around it. Ends
// with an error when the answer is wrong.
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { loadModel } from 'llama-sessions';

const [file, where] = isMainThread ? process.argv.slice(2) : workerData;

if (where === 'worker' && isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: [file, 'worker'] });
  worker.on('error', (error) => {
    throw error;
  });
} else {
  const model = await loadModel(file, { threads: 1, contextTokens: 2048, maxResident: 4 });
  const session = await model.createSession({ sampling: { temperature: 0 } });
  await session.send('My name is Ada.');
  const { text } = await session.send('What is my name?');
  await model.close();
  if (text !== 'Your name is Ada.') throw new Error(`It said: ${text}`);
  console.log(text);
}
