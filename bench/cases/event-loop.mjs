import { monitorEventLoopDelay } from 'node:perf_hooks';
import { namedModel } from '../generate-model.mjs';
import { round, sleep } from '../measure.mjs';
import { progress } from '../report.mjs';
import { arrivalsOf, deleteSessions, greedy, openModel, openSessions, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */

export const about = 'delay of the event loop in milliseconds (timer of 1 ms: an idle one shows about 1)';

const SESSIONS = 32;

/** @param {Settings} settings */
export async function run(settings) {
  // Short steps are the hard case: the smaller model makes an order of magnitude more events.
  const small = namedModel('15m');
  const large = namedModel('500mb', (fraction) => progress(`making the 500 MB model: ${Math.round(fraction * 100)} %`));
  const rows = [
    await delayOf('idle', () => sleep(settings.quick ? 1000 : 3000)),
    await streaming(`${SESSIONS} sessions stream`, settings, settings.quick ? 16 : 64),
    await streaming(`${SESSIONS} sessions stream, 15M model`, { ...settings, model: small }, settings.quick ? 64 : 256),
    await loading('loading 500 MB', { ...settings, model: large }),
  ];
  return { rows, goals: {} };
}

/**
 * @param {string} name
 * @param {Settings} settings
 * @param {number} maxTokens
 */
async function streaming(name, settings, maxTokens) {
  progress(name);
  const model = await openModel(settings, { maxResident: SESSIONS, contextTokens: SESSIONS * (32 + maxTokens) + 1024 });
  const sessions = await openSessions(model, SESSIONS);
  const prompts = sessions.map((_, i) => promptTokens(model, 32, i));
  let tokens = 0;
  const result = await delayOf(name, async () => {
    await Promise.all(
      sessions.map((session, i) =>
        arrivalsOf(session.complete(prompts[i], greedy(maxTokens)), (reply) => (tokens += reply.tokens.at(-1) ?? 0)),
      ),
    );
  });
  await deleteSessions(sessions);
  await model.close();
  return { ...result, 'tok/s': round(tokens / Number(result.seconds), 0) };
}

/**
 * @param {string} name
 * @param {Settings} settings
 */
async function loading(name, settings) {
  progress(name);
  /** @type {import('../sessions.mjs').Model | undefined} */
  let model;
  const result = await delayOf(name, async () => {
    model = await openModel(settings, { maxResident: 4, contextTokens: 4096 });
  });
  await model?.close();
  return result;
}

/**
 * @param {string} name
 * @param {() => Promise<unknown>} work
 */
async function delayOf(name, work) {
  await sleep(200); // what ended just now must not count
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  await sleep(10); // a block at the very end is only seen by the next timer
  delay.disable();
  return {
    while: name,
    p50: round(delay.percentile(50) / 1e6),
    p99: round(delay.percentile(99) / 1e6),
    max: round(delay.max / 1e6),
    seconds: round(seconds),
  };
}
