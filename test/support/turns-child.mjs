/**
 * Does with the sessions of a directory what users do, at random, until it is killed. It says in a file what each session's
 * messages are about to be, and what they are (see chaos.mjs): the user's, as a list; null: there is none.
 * Arguments: library, model, directory, log, seed, ids.
 */
import { chances, logTo } from './chaos.mjs';

const [, , library, path, store, log, seed, ids] = process.argv;
const { loadModel } = await import(library);
const say = logTo(log);
const below = chances(Number(seed));

const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };
/** A conversation gets no longer than that. */
const MOST = 8;
/** In a row, the one in a fork besides: after five the model has forgotten the code. */
const MOST_GREETINGS = 3;
// Small in every way, so that sessions are always on their way from one place to another.
const model = await loadModel(path, {
  threads: 1,
  maxResident: 2,
  contextTokens: 2048,
  store,
  cache: { pageTokens: 16, ramBytes: 400_000, diskBytes: 4_000_000, idleMs: 0, restore: 'always' },
});

async function open(id) {
  try {
    return await model.resumeSession(id);
  } catch (error) {
    if (error.code !== 'SESSION_NOT_FOUND') throw error;
    return model.createSession({ id, ...GREEDY });
  }
}

function said(session) {
  return session.messages.filter(({ role }) => role === 'user').map(({ content }) => content);
}

async function speak(session, message) {
  const { id } = session;
  say({ id, begun: [...said(session), message] });
  const { text } = await session.send(message);
  say({ id, done: said(session) });
  return text;
}

async function remove(session) {
  say({ id: session.id, begun: null });
  await session.delete();
  say({ id: session.id, done: null });
}

async function act(id) {
  const session = await open(id);
  const before = said(session);
  const greetings = before.length - 1 - before.findLastIndex((message) => message !== 'Hello!');
  const choice = before.length >= MOST ? 95 : below(100);
  if (before.length === 0) {
    // Once, and nothing that it mixes up with that later: what is wrong must not be the model's fault.
    await speak(session, `My code is ${1009 + below(8000)}.`);
  } else if (choice < 40 && greetings < MOST_GREETINGS) {
    await speak(session, 'Hello!');
  } else if (choice < 62) {
    const [known] = before[0].match(/\d+/);
    const text = await speak(session, 'What is my code?');
    if (!text.includes(known)) say({ wrong: `${id}: ${known}, and not ${text}` });
  } else if (choice < 72) {
    await session.save();
  } else if (choice < 80) {
    await session.park();
  } else if (choice < 85) {
    await session.close();
  } else if (choice < 92) {
    const child = await open(`${id} fork`);
    await remove(child);
    const fork = await session.fork({ id: child.id });
    await speak(fork, 'Hello!');
    await fork.close();
  } else if (choice < 96) {
    const left = below(before.length);
    say({ id, begun: before.slice(0, left) });
    // What was never stored is not stored by this.
    await session.rewind(2 * left);
    await session.save();
    say({ id, done: before.slice(0, left) });
  } else {
    await remove(session);
  }
}

// Whoever was to kill it has ended before.
process.once('disconnect', () => process.exit());
process.send('ready');
await Promise.all(
  ids.split(',').map(async (id) => {
    for (;;) await act(id);
  }),
);
