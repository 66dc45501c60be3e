// MODEL=model.gguf npm start
// The model lives in the main process: its steps run on a thread of their own and block neither window nor main process. A
// session per window, its pieces sent as they come.
import path from 'node:path';
import { app, BrowserWindow, ipcMain } from 'electron';
import { loadModel } from 'llama-sessions';

const model = await loadModel(process.env.MODEL ?? 'model.gguf', {
  store: path.join(app.getPath('userData'), 'sessions'),
});
const sessions = new Map(); // id of the window's contents → session

ipcMain.handle('send', async ({ sender }, text) => {
  if (!sessions.has(sender.id)) sessions.set(sender.id, await model.createSession({ maxTokens: 500 }));
  for await (const piece of sessions.get(sender.id).send(text)) {
    if (sender.isDestroyed()) break; // leaving the loop cancels the turn
    sender.send('piece', piece.text);
  }
});

function openWindow() {
  const window = new BrowserWindow({
    width: 700,
    height: 800,
    webPreferences: { preload: path.join(import.meta.dirname, 'preload.cjs') },
  });
  const { id } = window.webContents;
  window.on('closed', () => {
    sessions.get(id)?.close();
    sessions.delete(id);
  });
  window.loadFile('index.html');
}

app.on('window-all-closed', () => app.quit());

let closed = false;
app.on('before-quit', async (event) => {
  if (closed) return;
  event.preventDefault();
  await model.close();
  closed = true;
  app.quit();
});

await app.whenReady();
openWindow();
