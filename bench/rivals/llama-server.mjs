/** llama-server of the same sources and options as the addon, over HTTP: one kept connection per stream of server-sent events. */
import { spawn } from 'node:child_process';
import { Agent, request } from 'node:http';
import { createServer } from 'node:net';
import { builtTool } from '../limit.mjs';

/** @typedef {import('../contestant.mjs').OpenOptions} OpenOptions */
/** @typedef {import('../contestant.mjs').Contestant} Contestant */

/** @param {OpenOptions} options @returns {Promise<Contestant>} */
export async function open({ model, threads, batchTokens, sequences, tokensEach, folder }) {
  const port = await freePort();
  const args = [
    ['-m', model, '-ngl', 0, '-t', threads, '-tb', threads, '-b', batchTokens, '-ub', batchTokens, '-fa', 'on'],
    ['-np', sequences, '-c', sequences * tokensEach, '--host', '127.0.0.1', '--port', port],
    ['--no-cache-prompt', '--cache-ram', 0, '--log-disable', ...(folder ? ['--slot-save-path', folder] : [])],
  ];
  const server = spawn(builtTool('llama-server'), args.flat().map(String), { stdio: ['ignore', 'ignore', 'pipe'] });
  process.on('exit', () => server.kill('SIGKILL'));
  let log = '';
  server.stderr.on('data', (text) => (log = (log + text).slice(-2000)));
  const base = { agent: new Agent({ keepAlive: true, maxSockets: Infinity }), host: '127.0.0.1', port };
  const ended = new Promise((_, reject) =>
    server.on('exit', (code, signal) => reject(new Error(`llama-server ended with ${code ?? signal}: ${log}`))),
  );
  ended.catch(() => undefined);
  await Promise.race([ended, healthy(base)]);
  const { build_info: version } = await post(base, '/props', undefined);
  return {
    version: String(version),
    queues: true,
    count: async (text) => (await post(base, '/tokenize', { content: text, add_special: true })).tokens.length,
    speak: (turn) => stream(base, turn),
    async move(prompt) {
      const filename = `llama-server-${process.pid}.state`;
      await post(base, '/completion', { prompt, n_predict: 1, id_slot: 0, cache_prompt: true, ignore_eos: true });
      const saving = performance.now();
      const { n_written: bytes } = await post(base, '/slots/0?action=save', { filename });
      const saveMs = performance.now() - saving;
      await post(base, '/slots/0?action=erase', {});
      const restoring = performance.now();
      await post(base, '/slots/0?action=restore', { filename });
      return { saveMs, restoreMs: performance.now() - restoring, bytes };
    },
    close: async () => void server.kill(),
  };
}

/** @typedef {{ agent: Agent, host: string, port: number }} Base */

/** @returns {Promise<number>} */
const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });

/** @param {Base} base */
async function healthy(base) {
  for (;;) {
    const { status } = await post(base, '/health', undefined).catch(() => ({ status: 'not there yet' }));
    if (status === 'ok') return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * @param {Base} base
 * @param {string} path
 * @param {object | undefined} body undefined: GET
 * @returns {Promise<any>}
 */
function post(base, path, body) {
  return new Promise((resolve, reject) => {
    const call = request({ ...base, path, method: body ? 'POST' : 'GET' }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => (text += part));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode !== 200) reject(new Error(`${path}: ${response.statusCode} ${text}`));
        else resolve(JSON.parse(text));
      });
    });
    call.on('error', reject);
    call.end(body && JSON.stringify(body));
  });
}

/**
 * Closing the connection is how a client cancels.
 * @param {Base} base
 * @param {import('../contestant.mjs').TurnOptions} turn
 * @returns {Promise<void>}
 */
function stream(base, { prompt, maxTokens, onPiece, signal }) {
  const body = { prompt, n_predict: maxTokens, temperature: 0, ignore_eos: true, stream: true };
  const more = { cache_prompt: false, return_tokens: true, samplers: ['temperature'] };
  return new Promise((resolve, reject) => {
    const call = request({ ...base, path: '/completion', method: 'POST', signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (/** @type {string} */ part) => {
        const events = (text + part).split('\n\n');
        text = /** @type {string} */ (events.pop());
        for (const event of events) {
          if (!event.startsWith('data: {')) continue;
          const { tokens, error } = JSON.parse(event.slice(6));
          if (error) reject(new Error(error.message));
          else if (tokens.length > 0) onPiece(tokens.length);
        }
      });
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(text))));
      response.on('error', (error) => (signal?.aborted ? resolve() : reject(error)));
    });
    call.on('error', (error) => (signal?.aborted ? resolve() : reject(error)));
    call.end(JSON.stringify({ ...body, ...more }));
  });
}
