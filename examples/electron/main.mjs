// MODEL=model.gguf npm start
// The model lives in the main process: its steps run on a thread of their own and block neither window nor main process. One
// window, one session, its pieces sent as they come; the next start goes on where this one ended.
import path from 'node:path';
import { app, BrowserWindow, ipcMain } from 'electron';
import { loadModel } from 'llama-sessions';

const model = await loadModel(process.env.MODEL ?? 'model.gguf', {
  store: path.join(app.getPath('userData'), 'sessions'),
});
// A fixed id, so that the store has one conversation and not one more after each start.
const session = await model.resumeSession('window').catch((error) => {
  if (error.code !== 'SESSION_NOT_FOUND') throw error;
  return model.createSession({ id: 'window', maxTokens: 500, overflow: 'dropOldest' });
});

ipcMain.handle('history', () => session.messages);

// What is sent while a reply still comes waits for its turn.
ipcMain.handle('send', async ({ sender }, text) => {
  for await (const { kind, text: said } of session.send(text)) {
    if (sender.isDestroyed()) break; // leaving the loop cancels the turn
    if (kind === 'text') sender.send('piece', said);
  }
});

function openWindow() {
  const window = new BrowserWindow({
    width: 700,
    height: 800,
    webPreferences: { preload: path.join(import.meta.dirname, 'preload.cjs') },
  });
  window.loadFile('index.html');
}

app.on('window-all-closed', () => app.quit());

let closed = false;
app.on('before-quit', async (event) => {
  if (closed) return;
  event.preventDefault();
  await model.close().catch(console.error); // saves the session, its KV too
  closed = true;
  app.quit();
});

await app.whenReady();
openWindow();
