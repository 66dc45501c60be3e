// node answers.mjs MODEL [worker]: a chat with the recall model, by the llama-sessions that is installed around it. Ends
// with an error when the answer is wrong.
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { loadModel } from 'llama-sessions';
import ada from './ada.cjs';

const [file, where] = isMainThread ? process.argv.slice(2) : workerData;

if (where === 'worker' && isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: [file, 'worker'] });
  worker.on('error', (error) => {
    throw error;
  });
} else {
  console.log(await ada(loadModel, file));
}
