/**
 * npm run bench -- [case …] [--model FILE] [--threads N] [--quick] [--json]
 * npm run bench -- kills [--kills 2000] [--seed 7]
 *
 * Without a model it measures a generated one of the shape of Qwen2.5-0.5B. Exits with 1 when a case misses its goal.
 */
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { namedModel } from './generate-model.mjs';
import { machine } from './measure.mjs';
import { endProgress, progress, table } from './report.mjs';

/**
 * @typedef {object} Result
 * @property {import('./report.mjs').Row[]} rows
 * @property {Record<string, boolean>} goals what must hold, and whether it did
 */

const CASES = [
  'occupancy',
  'throughput',
  'speculation',
  'gap',
  'cancel',
  'event-loop',
  'restore',
  'shared-prefix',
  'save',
  'parking',
  'sessions',
  'kills',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    quick: { type: 'boolean', default: false },
    kills: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const unknown = positionals.find((name) => !CASES.includes(name));
if (unknown) throw new RangeError(`no case ${unknown}; there are ${CASES.join(', ')}`);

if (!existsSync(new URL('../dist/index.js', import.meta.url))) throw new Error('build the package first');

const settings = {
  model:
    values.model ?? namedModel('0.5b', (fraction) => progress(`making the model: ${Math.round(fraction * 100)} %`)),
  threads: Number(values.threads),
  quick: values.quick,
  ...(values.kills && { kills: Number(values.kills) }),
  ...(values.seed && { seed: Number(values.seed) }),
};
endProgress();
const conditions = { model: basename(settings.model), threads: settings.threads, quick: settings.quick, ...machine() };
if (!values.json) console.log(table([conditions]));

for (const name of positionals.length ? positionals : CASES) {
  const { about, run } = await import(`./cases/${name}.mjs`);
  progress(name);
  /** @type {Result} */
  const { rows, goals } = await run(settings);
  endProgress();
  if (Object.values(goals).includes(false)) process.exitCode = 1;
  if (values.json) {
    console.log(JSON.stringify({ case: name, ...conditions, rows, goals }));
  } else {
    const verdicts = Object.entries(goals).map(([goal, met]) => `${met ? 'met   ' : 'MISSED'} ${goal}`);
    console.log(['', `${name}: ${about}`, table(rows), ...verdicts].join('\n'));
  }
}
