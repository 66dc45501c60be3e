/**
 * Programs that are killed at random instants, and a look at what they left, round after round, by somebody who goes on with it.
 * Tests run some rounds, the bench thousands (`npm run bench -- kills`), with dist/.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { filesIn } from './audit.mjs';
import { chances, pageKeys, pageOf } from './chaos.mjs';
import { within } from './within.mjs';

const RECALL = fileURLToPath(new URL('../fixtures/recall.gguf', import.meta.url));
const GREEDY = { sampling: { temperature: 0 }, maxTokens: 24 };
/** What takes longer hangs. A niced process on a busy machine gets a few per cent of it. */
const DEADLINE_MS = 120_000;
/** The sessions of each process: some, so that they share and crowd out each other's pages. */
const GROUPS = [
  ['a', 'b', 'c'],
  ['d', 'e', 'f'],
];

/** What holds whenever a process is killed. */
export const PROMISES = {
  kept: 'what was acknowledged is there',
  resumes: 'every session resumes, and knows what it was told',
  pages: 'no page is accepted that does not verify',
  leaks: 'nothing leaks: orphans are swept, and the disk is free after all was deleted',
};

/** One of them does not hold. */
export class Broken extends Error {
  /** @param {keyof typeof PROMISES} promise @param {unknown} cause */
  constructor(promise, cause) {
    super(`${PROMISES[promise]}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.promise = promise;
  }
}

/** @template T @param {keyof typeof PROMISES} promise @param {() => T | Promise<T>} work @returns {Promise<T>} */
async function hold(promise, work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof Broken ? error : new Broken(promise, error);
  }
}

/**
 * What was done and seen.
 * @typedef {object} Findings
 * @property {number} kills
 * @property {number} acknowledged changes that were acknowledged
 * @property {number} looked how often a session was looked at afterwards
 * @property {number} underway of these, something was on its way when its process was killed
 * @property {number} arrived of these, it had arrived
 * @property {number} pages that were read from the store and verified
 * @property {number} swept files that dead processes had left
 *
 * @typedef {object} Plan
 * @property {string} folder where to do it
 * @property {number} kills
 * @property {number} seed the same one does the same again, as far as the clock allows
 * @property {(root: string) => Promise<void>} audit
 * @property {typeof import('../../lib/stores/directory.js').DirectoryStore} DirectoryStore
 * @property {(findings: Findings) => void} [onRound]
 */

/**
 * @param {Plan} plan @param {string} program @param {string[]} args
 * @param {{ workMs: number, restMs: number }} most how long they work, and how long the next one lives on
 * @param {(states: Map<string, unknown[]>, findings: Findings) => Promise<Map<string, unknown>>} look @returns what each session
 * is from here on
 */
async function rounds({ folder, kills, seed, onRound }, program, args, { workMs, restMs }, look) {
  const below = chances(seed);
  const log = join(folder, 'log');
  const findings = { kills: 0, acknowledged: 0, looked: 0, underway: 0, arrived: 0, pages: 0, swept: 0 };
  /** @type {Map<string, unknown>} */
  let known = new Map();
  while (findings.kills < kills) {
    await writeFile(log, '');
    const children = GROUPS.map((ids) =>
      fork(join(import.meta.dirname, program), [...args, log, String(below(2 ** 31)), ids.join()], { execArgv: [] }),
    );
    try {
      await Promise.all(children.map((child) => within('a child', once(child, 'message'), DEADLINE_MS)));
      await pause(below(workMs));
      // The one that lives on must be able to go on.
      for (const child of children) {
        await kill(child);
        findings.kills++;
        await pause(below(restMs));
      }
    } finally {
      for (const child of children) child.kill('SIGKILL');
    }
    const { states, acknowledged } = await readLog(log, known);
    findings.acknowledged += acknowledged;
    known = await look(states, findings);
    onRound?.(findings);
  }
  return findings;
}

/** Ends it at once. It must have been running. @param {import('node:child_process').ChildProcess} child */
export async function kill(child) {
  assert.deepEqual([child.exitCode, child.signalCode], [null, null], 'it ended by itself');
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/**
 * What each session may be: what was acknowledged last, or what was on its way.
 * @param {string} log @param {Map<string, unknown>} known what they were before
 */
async function readLog(log, known) {
  const states = new Map([...known].map(([id, now]) => [id, [now]]));
  let acknowledged = 0;
  for (const line of (await readFile(log, 'utf8')).split('\n').filter(Boolean)) {
    const { id = '', begun, done, wrong } = JSON.parse(line);
    if (wrong !== undefined) throw new Broken('pages', wrong);
    if (begun !== undefined) states.set(id, [...(states.get(id) ?? [null]).slice(0, 1), begun]);
    if (done === undefined) continue;
    states.set(id, [done]);
    acknowledged++;
  }
  return { states, acknowledged };
}

/** @param {string} id @param {unknown[]} states @param {unknown} found @param {Findings} findings */
function check(id, states, found, findings) {
  const at = states.findIndex((state) => isDeepStrictEqual(state, found));
  if (at < 0)
    throw new Broken(
      'kept',
      `'${id}' is ${JSON.stringify(found)} instead of ${states.map((s) => JSON.stringify(s)).join(' or ')}`,
    );
  findings.looked++;
  if (states.length > 1) findings.underway++;
  if (at > 0) findings.arrived++;
}

/** Nothing is left of it but an empty index. @param {Plan} plan @param {string} root @param {Record<string, number>} stats */
function checkEmpty({ audit }, root, { storedPages, storedPageBytes }) {
  return hold('leaks', async () => {
    assert.deepEqual({ storedPages, storedPageBytes }, { storedPages: 0, storedPageBytes: 0 });
    await audit(root);
    const left = (await filesIn(root)).filter((name) => name !== 'index.db-process'); // not on Windows
    assert.deepEqual(left, ['index.db', 'index.db-shm', 'index.db-wal']);
  });
}

/**
 * Kills processes that write, read, delete and sweep records and pages of a DirectoryStore.
 * @param {Plan & { lib: string }} plan `lib`: folder of the compiled library @returns {Promise<Findings>}
 */
export async function killStores(plan) {
  const { lib, folder, DirectoryStore } = plan;
  const root = join(folder, 'store');
  const most = { workMs: 150, restMs: 30 };
  const findings = await rounds(plan, 'chaos-child.mjs', [lib, root], most, async (states, found) => {
    const store = new DirectoryStore(root);
    const now = new Map();
    for (const [id, possible] of states) {
      const record = await hold('resumes', () => store.getRecord(id));
      const word = record ? (Buffer.from(record.bytes).toString().split(' ')[0] ?? '') : null;
      check(id, possible, word, found);
      now.set(id, word);
    }
    for (const key of pageKeys) {
      const page = await hold('pages', () => store.getPage(key));
      if (page === undefined) continue;
      if (!pageOf(key).equals(page)) throw new Broken('pages', key);
      found.pages++;
    }
    await tidy(plan, root, store, found);
    return now;
  });
  const store = new DirectoryStore(root);
  for (const id of GROUPS.flat()) await store.deleteRecord(id);
  const stats = store.stats();
  await store.close();
  await checkEmpty(plan, root, stats);
  return findings;
}

/**
 * With nobody else there: what dead processes have left goes.
 * @param {Plan} plan @param {string} root @param {InstanceType<Plan['DirectoryStore']>} store closed then @param {Findings} found
 */
async function tidy({ audit }, root, store, found) {
  await hold('leaks', () => store.sweep());
  found.swept = store.stats()['sweptFiles'] ?? 0;
  await store.close();
  await hold('leaks', () => audit(root));
}

/**
 * Kills processes whose sessions are created, speak, are parked, saved, closed, forked, rewound and deleted.
 * @param {Plan & { library: string, loadModel: typeof import('../../lib/index.js').loadModel }} plan `library`: URL of the compiled
 * library @returns {Promise<Findings>}
 */
export async function killTurns(plan) {
  const { library, folder, loadModel, DirectoryStore } = plan;
  const root = join(folder, 'store');
  const load = () =>
    loadModel(RECALL, {
      threads: 1,
      contextTokens: 8192,
      maxResident: 4,
      store: root,
      cache: { pageTokens: 16, restore: 'always' },
    });
  const most = { workMs: 1500, restMs: 200 };
  const findings = await rounds(plan, 'turns-child.mjs', [library, RECALL, root], most, async (states, found) => {
    const model = await within('loading', load(), DEADLINE_MS);
    const now = new Map();
    try {
      for (const [id, possible] of states) now.set(id, await goOn(model, id, possible, found));
      found.pages += model.stats()['storeHits'] ?? 0;
    } finally {
      await within('closing', model.close(), DEADLINE_MS);
    }
    const store = new DirectoryStore(root);
    await tidy(plan, root, store, found);
    return now;
  });
  const model = await load();
  for await (const { id } of model.listSessions()) await model.deleteSession(id);
  const stats = model.stats();
  await model.close();
  await checkEmpty(plan, root, stats);
  return findings;
}

/**
 * Looks at a session and asks it what it was told. @param {import('../../lib/index.js').Model} model @param {string} id
 * @param {unknown[]} possible @param {Findings} findings @returns what users have said in it then; null: there is none
 */
async function goOn(model, id, possible, findings) {
  const session = await hold('resumes', () => resume(model, id));
  if (session === undefined) {
    check(id, possible, null, findings);
    return null;
  }
  const { messages } = session;
  await hold('kept', () => {
    assert.match(messages.map(({ role }) => role).join(), /^((^|,)user,assistant)*$/);
    assert.ok(!messages.some(({ interrupted }) => interrupted), `'${id}' was interrupted`);
  });
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  check(id, possible, said, findings);
  const [first] = said;
  if (first !== undefined) {
    const question = 'What is my code?';
    await hold('resumes', async () => {
      const { text } = await within(`asking '${id}'`, session.send(question, GREEDY), DEADLINE_MS);
      assert.equal(text, first.replace('My', 'Your'));
    });
    said.push(question);
  }
  await session.close();
  return said;
}

/** @param {import('../../lib/index.js').Model} model @param {string} id */
async function resume(model, id) {
  try {
    return await within(`resuming '${id}'`, model.resumeSession(id), DEADLINE_MS);
  } catch (error) {
    if (/** @type {{ code?: string }} */ (error).code === 'SESSION_NOT_FOUND') return undefined;
    throw error;
  }
}
