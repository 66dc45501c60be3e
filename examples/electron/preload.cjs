// What the page may do: read what was said, say something, and hear the pieces of the reply. A sandboxed preload script is CommonJS.
const { contextBridge, ipcRenderer } = require('electron');

contextBridge.exposeInMainWorld('chat', {
  history: () => ipcRenderer.invoke('history'),
  send: (text) => ipcRenderer.invoke('send', text),
  onPiece: (listener) => ipcRenderer.on('piece', (_event, text) => listener(text)),
});
