// What the page may do: say something, and hear the pieces of the reply. A sandboxed preload script is CommonJS.
const { contextBridge, ipcRenderer } = require('electron');

contextBridge.exposeInMainWorld('chat', {
  send: (text) => ipcRenderer.invoke('send', text),
  onPiece: (listener) => ipcRenderer.on('piece', (_event, text) => listener(text)),
});
