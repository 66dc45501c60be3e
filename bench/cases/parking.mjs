import { interleave, median, round, sleep } from '../measure.mjs';
import { progress } from '../report.mjs';
import { arrivalsOf, commonRate, deleteSessions, greedy, openModel, openSessions, promptTokens } from '../sessions.mjs';

/** @typedef {import('../sessions.mjs').Settings} Settings */
/** @typedef {import('../sessions.mjs').Model} Model */

export const about = 'speed of 8 sessions that generate, while another one is parked and restored five times a second';

const SPEAKERS = 8;
const HISTORY = 2048;

/** @param {Settings} settings */
export async function run(settings) {
  const model = await openModel(settings, {
    maxResident: SPEAKERS + 1,
    contextTokens: HISTORY + 8192,
    cache: { restore: 'always' },
  });
  const prompt = promptTokens(model, HISTORY, 5);
  const mover = await model.createSession();
  await mover.complete(prompt, greedy(1));
  const { still, moving } = await interleave(settings.repetitions, {
    still: () => speak(model, 0),
    moving: () =>
      speak(model, 5, async () => {
        await mover.park();
        // Of a turn only what brings the KV back: it is cancelled before it is computed.
        const turn = mover.complete(prompt, greedy(1));
        await turn;
      }),
  });
  await model.close();
  const [alone, beside] = [still, moving].map((runs) => median(runs.map(({ rate }) => rate)));
  const moves = moving.reduce((sum, one) => sum + one.moves, 0) / moving.reduce((sum, one) => sum + one.seconds, 0);
  const rows = [
    {
      'tok/s': round(alone, 1),
      'while parking': round(beside, 1),
      kept: round(beside / alone, 3),
      'moves per second': round(moves, 1),
    },
  ];
  return { rows, goals: { 'at least 0.9 of the speed is kept': beside / alone >= 0.9 } };
}

/**
 * @param {Model} model
 * @param {number} perSecond
 * @param {() => Promise<void>} [move]
 */
async function speak(model, perSecond, move) {
  progress(`parking: ${SPEAKERS} sessions generate, ${perSecond} moves per second`);
  const sessions = await openSessions(model, SPEAKERS);
  const turns = sessions.map((session, i) => arrivalsOf(session.complete(promptTokens(model, 32, i), greedy(256))));
  let speaking = true;
  let moves = 0;
  const began = performance.now();
  const ended = Promise.all(turns).finally(() => (speaking = false));
  const moved = (async () => {
    while (move && speaking) {
      const next = performance.now() + 1000 / perSecond;
      await move();
      moves++;
      await sleep(Math.max(0, next - performance.now()));
    }
  })();
  const replies = await ended;
  await moved;
  const seconds = (performance.now() - began) / 1000;
  await deleteSessions(sessions);
  return { rate: commonRate(replies), moves, seconds };
}
