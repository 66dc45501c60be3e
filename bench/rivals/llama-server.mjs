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
  const { build_info: version } = await ask(base, '/props');
  return {
    version: String(version),
    queues: true,
    count: async (text) => (await ask(base, '/tokenize', { content: text, add_special: true })).tokens.length,
    speak: (turn) => stream(base, turn),
    async move(prompt) {
      const filename = `llama-server-${process.pid}.state`;
      await ask(base, '/completion', { prompt, n_predict: 1, id_slot: 0, cache_prompt: true, ignore_eos: true });
      const saving = performance.now();
      const { n_written: bytes } = await ask(base, '/slots/0?action=save', { filename });
      const saveMs = performance.now() - saving;
      await ask(base, '/slots/0?action=erase', {});
      const restoring = performance.now();
      await ask(base, '/slots/0?action=restore', { filename });
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
    const { status } = await ask(base, '/health').catch(() => ({ status: 'not there yet' }));
    if (status === 'ok') return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * The response to a GET, or to a POST of a body. The server closes a connection after each stream, which Node may notice only when
 * it uses it again: then on another one.
 * @param {Base} base
 * @param {string} path
 * @param {object | undefined} body
 * @param {AbortSignal} [signal]
 * @returns {Promise<import('node:http').IncomingMessage>}
 */
function call(base, path, body, signal) {
  return new Promise((resolve, reject) => {
    const asked = request({ ...base, path, method: body ? 'POST' : 'GET', signal }, resolve);
    asked.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      if (asked.reusedSocket && error.code === 'ECONNRESET') resolve(call(base, path, body, signal));
      else reject(error);
    });
    asked.end(body && JSON.stringify(body));
  });
}

/** @param {Base} base @param {string} path @param {object} [body] undefined: GET @returns {Promise<any>} */
async function ask(base, path, body) {
  const response = await call(base, path, body);
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode} ${text}`);
  return JSON.parse(text);
}

/**
 * Closing the connection is how a client cancels.
 * @param {Base} base
 * @param {import('../contestant.mjs').TurnOptions} turn
 */
async function stream(base, { prompt, maxTokens, onPiece, signal }) {
  const body = { prompt, n_predict: maxTokens, temperature: 0, ignore_eos: true, stream: true };
  const more = { cache_prompt: false, return_tokens: true, samplers: ['temperature'] };
  try {
    const response = await call(base, '/completion', { ...body, ...more }, signal);
    let text = '';
    for await (const part of response.setEncoding('utf8')) {
      const events = (text + part).split('\n\n');
      text = events.pop() ?? '';
      for (const event of events) {
        if (!event.startsWith('data: {')) continue;
        const { tokens } = JSON.parse(event.slice(6));
        if (tokens.length > 0) onPiece(tokens.length);
      }
    }
    if (response.statusCode !== 200 || text) throw new Error(`/completion: ${response.statusCode} ${text}`);
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}
