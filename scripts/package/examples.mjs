// Checks that the examples with a package.json of their own run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { inRoot } from '../parts/files.mjs';
import { fixture, NotHere, npmInstall, place } from './place.mjs';

/** A copy of the example, with the packed package in the place of the published one. */
async function example(name, tarball, flags = []) {
  const folder = place(`example-${name}`);
  fs.cpSync(inRoot('examples', name), folder, { recursive: true });
  await npmInstall(folder, [tarball], { flags });
  return folder;
}

export const checks = {
  async 'the Express example'({ tarball }) {
    const folder = await example('express', tarball);
    const env = { ...process.env, MODEL: fixture, PORT: '0', THREADS: '1' };
    const server = spawn(process.execPath, ['server.mjs'], { cwd: folder, env });
    let printed = '';
    for (const stream of [server.stdout, server.stderr]) stream.on('data', (chunk) => (printed += chunk));
    try {
      const base = await new Promise((resolve, reject) => {
        server.stdout.on('data', () => /http\S+/.test(printed) && resolve(/http\S+/.exec(printed)[0]));
        server.once('exit', () => reject(new Error(printed)));
      });
      const say = async (user, body) => {
        const headers = { 'content-type': 'text/plain' };
        return (await fetch(`${base}/chat/${user}`, { method: 'POST', headers, body })).text();
      };
      await say('ada', 'My name is Ada.');
      const text = await say('ada', 'What is my name?');
      if (text !== 'Your name is Ada.') throw new Error(`It said: ${text}\n${printed}`);
      if (process.platform === 'win32') return text; // there SIGTERM just ends a process
      const ended = once(server, 'exit');
      server.kill();
      const [code] = await ended;
      if (code !== 0) throw new Error(`After SIGTERM it ended with ${code}:\n${printed}`);
      return `${text} Ends in order.`;
    } finally {
      server.kill();
    }
  },

  async 'the Electron example'({ tarball }) {
    const folder = await example('electron', tarball, ['--ignore-scripts']);
    const { default: file } = await import(path.join(folder, 'node_modules/electron/index.js')).catch(() => ({}));
    if (!file) throw new NotHere("Electron's binary comes from GitHub, which can't be reached here");
    throw new NotHere('by hand: MODEL=… npm start');
  },
};
