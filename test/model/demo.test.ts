/** The examples run, and fail loudly. */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { folder } from '../support/models.js';
import { ROOT, run } from '../support/program.js';
import { RECALL } from '../support/recall.js';

const DEMO = 'examples/demo.mjs';
const CHAT = 'examples/chat.mjs';
const timeout = 150_000;

describe('npm run demo', { timeout }, () => {
  test('tells, cancels, saves, restarts, and finds everything again', async () => {
    const { code, stdout, stderr } = await run([DEMO]);
    expect(stdout).not.toContain('✗');
    expect(stdout.match(/^✓ Your name is .* \(\d+ of \d+ tokens cached\)$/gm)).toHaveLength(6);
    expect(stdout).toContain('[cancelled]');
    expect(stdout).toMatch(/[\d.]+ sequences per step/);
    expect(stdout).toMatch(/All right\.\n$/);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('its second process fails when nothing was saved', async () => {
    const { code, stderr } = await run([DEMO, await folder()]);
    expect(code).toBe(1);
    expect(stderr).toContain('SESSION_NOT_FOUND');
  });
});

describe('npm run chat', { timeout }, () => {
  const talk = (input: string, ...more: string[]): ReturnType<typeof run> =>
    run([CHAT, RECALL, '--temperature', '0', ...more], { input });

  test('answers each line of its input', async () => {
    const { code, stdout, stderr } = await talk('My name is Mosoba.\n\nWhat is my name?');
    expect(stdout).toBe('Noted: your name is Mosoba.\nYour name is Mosoba.\n');
    expect(stderr.match(/tokens\/s/g)).toHaveLength(2);
    expect(code).toBe(0);
  });

  test('takes the options that --help lists', async () => {
    const options = ['--system', 'You are a terse assistant.', '--seed', '1', '--context', '2048', '--threads', '1'];
    const { stdout } = await talk('My name is Mosoba.\nTell me a story.', ...options, '--max-tokens', '3');
    expect(stdout).toBe('Noted.\nOnce there was\n');
  });

  test('goes on with a session that was stored', async () => {
    const store = ['--store', await folder(), '--session', 'mine'];
    await talk('My code is 4711.', ...store);
    const { stdout, stderr } = await talk('What is my code?', ...store);
    expect(stdout).toBe('Your code is 4711.\n');
    expect(stderr).toContain("Session 'mine' goes on after 2 messages.");
  });

  const wrong: [string, string[], string][] = [
    ['no model', [], 'Name one model file.'],
    ['a model that is missing', ['none.gguf'], 'none.gguf'],
    ['a file that is no model', ['package.json'], 'package.json'],
    ['an unknown option', [RECALL, '--bogus'], "Unknown option '--bogus'"],
    ['a wrong number', [RECALL, '--threads', 'many'], 'threads must be an integer'],
    ['a session without a store', [RECALL, '--session', 'a'], '--session needs a --store DIR.'],
  ];
  test.each(wrong)('says what is wrong: %s', async (_, args, message) => {
    const { code, stdout, stderr } = await run([CHAT, ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^ +at /m); // no stack
  });
});

/** Electron as far as the example's main process sees it: a window that says two things at once, and quits. */
const ELECTRON = `
import { EventEmitter } from 'node:events';
const handlers = {};
export const ipcMain = { handle: (name, handler) => (handlers[name] = handler) };
export const app = Object.assign(new EventEmitter(), {
  getPath: () => process.cwd(),
  whenReady: () => Promise.resolve(),
  quit() {
    let prevented = false;
    app.emit('before-quit', { preventDefault: () => (prevented = true) });
    if (!prevented) process.exit();
  },
});
export class BrowserWindow {
  async loadFile() {
    const event = { sender: { isDestroyed: () => false, send: (channel, text) => process.stdout.write(text) } };
    console.log((await handlers.history(event)).length, 'messages');
    await Promise.all(['My name is Ada.', 'What is my name?'].map((text) => handlers.send(event, text)));
    app.quit();
  }
}`;

test('the Electron example has one conversation, which goes on after a restart', { timeout }, async () => {
  // Below the repository, so that the package's own name leads to dist/.
  await mkdir(join(ROOT, 'build'), { recursive: true });
  const cwd = await mkdtemp(join(ROOT, 'build', 'electron-'));
  onTestFinished(() => rm(cwd, { recursive: true }));
  await mkdir(join(cwd, 'node_modules/electron'), { recursive: true });
  await writeFile(join(cwd, 'node_modules/electron/package.json'), '{"type":"module","exports":"./index.js"}');
  await writeFile(join(cwd, 'node_modules/electron/index.js'), ELECTRON);
  await copyFile(join(ROOT, 'examples/electron/main.mjs'), join(cwd, 'main.mjs'));
  for (const messages of [0, 4]) {
    const { code, stdout, stderr } = await run(['main.mjs'], { cwd, env: { MODEL: RECALL } });
    expect(stdout).toContain(`${String(messages)} messages\n`);
    expect(stdout).toContain('Your name is Ada.');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  }
});
