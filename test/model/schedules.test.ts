/**
 * What a session says does not depend on who else speaks, nor on where its KV has been: over random schedules of create,
 * send, cancel, park, save, resume, fork, rewind, expiry and restart, with pages that RAM and disk have no room for, with and
 * without speculation, every turn equals the one that the same conversation gets alone.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LlamaError, loadModel, type Model, type Reply, type Session, type Turn } from '../../lib/index.js';
import { NAMES, RECALL } from '../support/recall.js';

const RUNS = Number(process.env['SCHEDULES'] ?? 200);
const SESSIONS = 5;
const GREEDY = { sampling: { temperature: 0 }, maxTokens: 40 };

const MESSAGES = [
  ...NAMES.slice(0, 6).map((name) => `My name is ${name}.`),
  ...NAMES.slice(6, 10).map((name) => `I live in ${name}.`),
  'My code is 4711.',
  'What is my name?',
  'Where do I live?',
  'What is my code?',
  'Count from 3 to 12.',
  'Repeat after me: shai brot',
  'Tell me a story.',
  'What do you know about me?',
];

/** One thing that happens to one session; `wait`: before the next thing happens. */
interface Action {
  session: number;
  kind: 'send' | 'sendAndCancel' | 'park' | 'save' | 'resume' | 'fork' | 'rewind' | 'expire' | 'restart';
  message: number;
  /** Of a fork or a rewind: turns that stay, modulo those that there are. */
  turns: number;
  /** Pieces until the cancel; 0: at once, in the queue. */
  pieces: number;
  wait: boolean;
}

const action: fc.Arbitrary<Action> = fc.record({
  session: fc.nat(SESSIONS - 1),
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom('send' as const) },
    { weight: 3, arbitrary: fc.constantFrom('sendAndCancel' as const, 'park' as const, 'fork' as const) },
    { weight: 3, arbitrary: fc.constantFrom('save' as const, 'resume' as const, 'rewind' as const) },
    { weight: 1, arbitrary: fc.constantFrom('expire' as const, 'restart' as const) },
  ),
  message: fc.nat(MESSAGES.length - 1),
  turns: fc.nat(8),
  pieces: fc.nat(6),
  wait: fc.boolean(),
});

/** A turn that is part of a conversation: what was asked, how much of the answer was kept, and what it said. */
interface Kept {
  message: string;
  /** Of a cancelled turn: the tokens it came to. */
  tokens?: number;
  text: string;
}

let crowd: Model;
/** Another one after each restart. */
let speculation: 'auto' | 'off' = 'auto';
let alone: Model;
let folder: string;
/** Of all models that were the crowd. */
const stats: Record<string, number> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llama-sessions-'));
  crowd = await loadCrowd();
  alone = await loadModel(RECALL, { threads: 1, maxResident: 1, speculation: 'off' });
});

afterAll(async () => {
  await closeCrowd();
  await alone.close();
  await rm(folder, { recursive: true });
  // Schedules that never move anything would prove nothing.
  for (const what of [
    'parks',
    'ramRestores',
    'storeRestores',
    'ramEvictions',
    'sharedTokens',
    'cancelledTurns',
    'acceptedTokens',
  ])
    expect(stats[what], what).toBeGreaterThan(0);
  expect((stats['generatedSequences'] ?? 0) / (stats['generateSteps'] ?? 1)).toBeGreaterThan(1);
});

/** Three sequences for five sessions, a pool too small for all of them, and RAM for some pages. */
function loadCrowd(): Promise<Model> {
  return loadModel(RECALL, {
    threads: 1,
    maxResident: 3,
    contextTokens: 512,
    batchTokens: 64,
    store: folder,
    durability: 'none',
    speculation,
    cache: { pageTokens: 16, ramBytes: 200_000, diskBytes: 400_000, restore: 'always' },
  });
}

async function closeCrowd(): Promise<void> {
  for (const [name, count] of Object.entries(crowd.stats())) stats[name] = (stats[name] ?? 0) + count;
  await crowd.close();
}

test(`${String(RUNS)} random schedules change nothing that is said`, { timeout: 600_000 }, async () => {
  const seed = Number(process.env['SCHEDULE_SEED'] ?? 20_261_121);
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 16 }), async (schedule) => {
      for (const conversation of await play(schedule))
        expect(conversation.map((turn) => turn.text)).toEqual(await replay(conversation));
    }),
    { numRuns: RUNS, seed, endOnFailure: process.env['CI'] !== undefined },
  );
});

async function play(schedule: readonly Action[]): Promise<Kept[][]> {
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => crowd.createSession(GREEDY)));
  const conversations: Kept[][] = sessions.map(() => []);
  /** What was begun on each session; they run in order anyway. */
  const begun: Promise<unknown>[] = [];
  for (const step of schedule) {
    // Closing would end what is under way, and others are to see what these have come to.
    const apart = ['resume', 'fork', 'rewind', 'expire', 'restart'].includes(step.kind);
    if (apart) await Promise.all(begun);
    const doing = perform(step, sessions, conversations);
    begun.push(doing);
    if (step.wait || apart) await doing;
  }
  await Promise.all(begun);
  await Promise.all(sessions.map((session) => session.delete()));
  return conversations;
}

async function perform(step: Action, sessions: Session[], conversations: Kept[][]): Promise<void> {
  const session = sessions[step.session] as Session;
  const conversation = conversations[step.session] as Kept[];
  const turns = step.turns % (conversation.length + 1);
  const next = (step.session + 1) % SESSIONS;
  switch (step.kind) {
    case 'fork':
      await sessions[next]?.delete();
      sessions[next] = await session.fork({ atMessage: 2 * turns });
      conversations[next] = conversation.slice(0, turns);
      return;
    case 'rewind':
      conversation.length = turns;
      return session.rewind(2 * turns);
    case 'expire':
      await (await crowd.resumeSession(session.id, { ttlMs: 1 })).save();
      await session.close();
      await new Promise((resolve) => setTimeout(resolve, 3));
      await expect(crowd.resumeSession(session.id)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
      sessions[step.session] = await crowd.createSession({ ...GREEDY, id: session.id });
      conversation.length = 0;
      return;
    case 'restart':
      await Promise.all(sessions.map((each) => each.save()));
      await closeCrowd();
      speculation = speculation === 'auto' ? 'off' : 'auto';
      crowd = await loadCrowd();
      for (const [i, { id }] of sessions.entries()) sessions[i] = await crowd.resumeSession(id);
      return;
    case 'park':
      return session.park();
    case 'save':
      return session.save();
    case 'resume':
      await session.save();
      await session.close();
      sessions[step.session] = await crowd.resumeSession(session.id);
      return;
    default: {
      const message = MESSAGES[step.message] as string;
      const turn = session.send(message);
      if (step.kind === 'sendAndCancel') void cancelAfter(turn, step.pieces);
      const { text, finishReason, usage } = await turn.catch(nothingWhenFull);
      if (finishReason !== 'cancelled') conversation.push({ message, text });
      else if (text !== '') conversation.push({ message, text, tokens: usage.generatedTokens });
    }
  }
}

/** The pool is small on purpose: a conversation may outgrow it, and then stays as it was. */
function nothingWhenFull(error: unknown): Pick<Reply, 'text' | 'finishReason' | 'usage'> {
  if (!(error instanceof LlamaError) || error.code !== 'CONTEXT_FULL') throw error;
  const usage = { promptTokens: 0, cachedTokens: 0, generatedTokens: 0, draftedTokens: 0, acceptedTokens: 0 };
  return { text: '', finishReason: 'cancelled', usage };
}

async function cancelAfter(turn: Turn, pieces: number): Promise<void> {
  let seen = 0;
  try {
    if (pieces > 0) for await (const _ of turn) if (++seen === pieces) break;
    turn.cancel();
  } catch {
    // The turn's own promise tells.
  }
}

const memory = new Map<string, string>();

/** What the same conversation is answered when nobody else is there and its KV never moves. */
async function replay(conversation: readonly Kept[]): Promise<string[]> {
  const session = await alone.createSession(GREEDY);
  const texts: string[] = [];
  let known = true;
  let key = '';
  for (const [i, turn] of conversation.entries()) {
    key += JSON.stringify([turn.message, turn.tokens]);
    // As long as all of a conversation's beginning is known, nothing has to be said.
    known = known && memory.has(key);
    if (known) {
      texts.push(memory.get(key) as string);
      continue;
    }
    for (const earlier of conversation.slice(session.messages.length / 2, i + 1)) {
      const options = earlier.tokens === undefined ? {} : { maxTokens: earlier.tokens };
      const { text } = await session.send(earlier.message, options);
      if (earlier === turn) memory.set(key, text);
    }
    texts.push(memory.get(key) as string);
  }
  await session.delete();
  return texts;
}
