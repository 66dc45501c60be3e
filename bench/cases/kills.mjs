import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { auditWith } from '../../test/support/audit.mjs';
import { Broken, killStores, killTurns, PROMISES } from '../../test/support/kills.mjs';
import { round } from '../measure.mjs';
import { progress } from '../report.mjs';

/** @typedef {import('../../test/support/kills.mjs').Findings} Findings */

export const about = 'processes are killed at random instants: half of them use sessions, half a store (recall model)';
export const once = true;

const DIST = new URL('../../dist/', import.meta.url);

/** @param {{ quick: boolean, kills?: number | undefined, seed?: number | undefined }} settings */
export async function run({ quick, kills = quick ? 20 : 200, seed = 1 }) {
  const of = (/** @type {string} */ path) => import(new URL(path, DIST).href);
  const { loadModel, DirectoryStore } = await of('index.js');
  const parts = {
    ...(await of('stores/ledger.js')),
    ...(await of('stores/records.js')),
    ...(await of('stores/tables.js')),
  };
  const audit = (/** @type {string} */ root) => auditWith(parts, root);
  const half = Math.ceil(kills / 2);
  const library = {
    lib: fileURLToPath(DIST),
    library: new URL('index.js', DIST).href,
    loadModel,
    DirectoryStore,
    audit,
  };
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-bench-'));
  /** @type {Record<string, boolean>} */
  const goals = {};
  const rows = [];
  for (const [name, killAll] of /** @type {const} */ ([
    ['sessions', killTurns],
    ['store', killStores],
  ])) {
    const began = performance.now();
    const own = join(folder, name);
    await mkdir(own);
    /** @type {Findings | undefined} */
    let seen;
    /** @type {Broken | undefined} */
    let broken;
    const onRound = (/** @type {Findings} */ findings) => {
      seen = { ...findings };
      const perSecond = round((findings.kills * 1000) / (performance.now() - began));
      if (findings.kills % 10 === 0)
        progress(`kills: ${name}, ${findings.kills} of ${half}, ${perSecond}/s, ${findings.acknowledged} acknowledged`);
    };
    try {
      await killAll({ ...library, folder: own, kills: half, seed, onRound });
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      broken = error;
      console.error(`${error.message}; --seed ${seed} may show it again; what is left is in ${own}`);
    }
    const seconds = (performance.now() - began) / 1000;
    rows.push(rowOf(name, seed, seconds, seen));
    for (const [promise, text] of Object.entries(PROMISES)) goals[`${name}: ${text}`] = broken?.promise !== promise;
    goals[`${name}: ${half} kills`] = broken === undefined;
  }
  if (!Object.values(goals).includes(false)) await rm(folder, { recursive: true });
  return { rows, goals };
}

/** @param {string} name @param {number} seed @param {number} seconds @param {Findings | undefined} findings */
function rowOf(name, seed, seconds, findings) {
  return {
    killed: name,
    seed,
    kills: findings?.kills ?? 0,
    seconds: round(seconds, 0),
    'kills/s': round((findings?.kills ?? 0) / seconds),
    acknowledged: findings?.acknowledged ?? 0,
    'looked at': findings?.looked ?? 0,
    'something underway': findings?.underway ?? 0,
    'of that arrived': findings?.arrived ?? 0,
    'pages read': findings?.pages ?? 0,
    'files swept': findings?.swept ?? 0,
  };
}
