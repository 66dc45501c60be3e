/** What `npm run bench` starts: cases, one after the other, and the report of what they found. */
import { appendFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { namedModel } from './generate-model.mjs';
import { machine, versions } from './measure.mjs';
import { endProgress, progress, table } from './report.mjs';
import { writeReport } from './results.mjs';
import { RIVALS } from './rivals.mjs';
import { BATCH_TOKENS } from './sessions.mjs';

/**
 * @typedef {object} Result
 * @property {import('./report.mjs').Row[]} rows the first column names the row
 * @property {Record<string, boolean>} goals what must hold, and whether it did
 * @property {string[]} [notes] what failed, and why
 *
 * A case exports `about`, `run(settings)` and, where it takes long, `parts(settings)`: the settings of its parts. One that pays no
 * heed to `repetitions` exports `once`.
 */

const CASES = [
  'throughput',
  'speculation',
  'prefill',
  'first-token',
  'gap',
  'cancel',
  'rivals',
  'event-loop',
  'crossing',
  'cost',
  'occupancy',
  'restore',
  'redis',
  'shared-prefix',
  'save',
  'parking',
  'sessions',
  'kills',
  'install',
  'variant',
];

const USAGE = `npm run bench -- [case …] [--model FILE | --shape NAME] [--sessions 1,8] [--repetitions N]
                 [--rivals all|none|a,b] [--threads N] [--kv-layout unified|streams] [--timeout SECONDS]
                 [--quick] [--json] [--results FOLDER]
npm run bench -- kills [--kills 2000] [--seed 7]
npm run bench -- report [--results FOLDER] [--into FOLDER]   RESULTS.md of what is in the first; without it, of all, now

Cases: ${CASES.join(', ')}; all of them by default.
Without a model one is generated and measured, of the shape of Qwen2.5-0.5B. Exits with 1 when a case misses its goal.`;

const text = /** @type {const} */ ({ type: 'string' });
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', default: false },
    model: text,
    shape: { ...text, default: '0.5b' },
    sessions: text,
    repetitions: text,
    rivals: { ...text, default: 'all' },
    threads: { ...text, default: String(availableParallelism()) },
    'kv-layout': text,
    timeout: { ...text, default: '600' },
    quick: { type: 'boolean', default: false },
    kills: { type: 'string' },
    seed: { type: 'string' },
    json: { type: 'boolean', default: false },
    results: text,
    into: text,
  },
});

/** @param {string | undefined} given @param {readonly string[]} known @param {string} what */
function checked(given, known, what) {
  const names = given?.split(',') ?? [];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new RangeError(`no ${what} ${unknown}; there are ${known.join(', ')}`);
  return names;
}

/** @param {string} given */
const rivalsOf = (given) => (given === 'all' ? RIVALS : given === 'none' ? [] : checked(given, RIVALS, 'rival'));

/** @param {string} shape of the model when none is given @returns {import('./sessions.mjs').Settings} */
function settingsOf(shape) {
  const making = (/** @type {number} */ fraction) => progress(`making the model: ${Math.round(fraction * 100)} %`);
  const [kvLayout] = /** @type {('unified' | 'streams')[]} */ (
    checked(values['kv-layout'], ['unified', 'streams'], 'layout')
  );
  return {
    model: values.model ?? namedModel(shape, making),
    threads: Number(values.threads),
    batchTokens: BATCH_TOKENS,
    quick: values.quick,
    repetitions: Number(values.repetitions ?? (values.quick ? 1 : 3)),
    rivals: rivalsOf(values.rivals),
    timeoutMs: Number(values.timeout) * 1000,
    ...(kvLayout && { kvLayout }),
    ...(values.kills && { kills: Number(values.kills) }),
    ...(values.seed && { seed: Number(values.seed) }),
    ...(values.sessions && { sessions: values.sessions.split(',').map(Number) }),
  };
}

/**
 * @param {string[]} names
 * @param {string | undefined} folder for a line of JSON from each
 * @param {string} [shape]
 */
async function runCases(names, folder, shape = values.shape) {
  const settings = settingsOf(shape);
  endProgress();
  const { threads, kvLayout = 'auto', quick, repetitions } = settings;
  const shown = { model: basename(settings.model), threads, kvLayout, quick, repetitions };
  const conditions = { ...shown, ...machine(), versions: versions() };
  if (!values.json) console.log(`${table([{ ...shown, ...machine() }])}\n${versions()}`);
  if (folder) mkdirSync(folder, { recursive: true });
  for (const name of names) {
    const { about, run, parts, once } = await import(`./cases/${name}.mjs`);
    progress(name);
    const under = { ...conditions, ...(once && { repetitions: 1 }) };
    /** @type {Required<Result>} */
    const all = { rows: [], goals: {}, notes: [] };
    for (const part of parts?.(settings) ?? [settings]) {
      /** @type {Result} */
      const { rows, goals, notes = [] } = await run(part).catch(broken);
      all.rows.push(...rows);
      all.notes.push(...notes);
      Object.assign(all.goals, goals);
      // Each part at once: what has been measured is not lost when the run is interrupted.
      if (folder) appendFileSync(join(folder, `${name}.jsonl`), lineOf(name, about, under, { rows, goals, notes }));
    }
    endProgress();
    if (Object.values(all.goals).includes(false)) process.exitCode = 1;
    if (values.json) process.stdout.write(lineOf(name, about, under, all));
    else console.log(['', `${name}: ${about}`, table(all.rows), ...all.notes, ...verdicts(all)].join('\n'));
  }
}

/** A long report goes on with the next case. @param {Error} error @returns {Result} */
function broken(error) {
  console.error(error);
  return { rows: [], goals: { 'runs to its end': false }, notes: [`It failed: ${error.message.split('\n')[0]}`] };
}

/** @param {string} name @param {string} about @param {object} conditions @param {Result} result */
const lineOf = (name, about, conditions, result) =>
  `${JSON.stringify({ case: name, about, date: new Date().toISOString(), ...conditions, ...result })}\n`;

/** @param {Result} result */
const verdicts = ({ goals }) => Object.entries(goals).map(([goal, met]) => `${met ? 'met   ' : 'MISSED'} ${goal}`);

/** @param {string | undefined} given */
async function report(given) {
  const folder = given ?? fileURLToPath(new URL('results', import.meta.url));
  if (!given) {
    rmSync(folder, { recursive: true, force: true });
    await runCases(CASES, folder);
    if (!values.model) await runCases(['throughput'], folder, '15m'); // where the engine's own work shows
  }
  console.log(await writeReport(folder, CASES, values.into));
}

if (values.help) {
  console.log(USAGE);
  process.exit();
}
if (!existsSync(new URL('../dist/index.js', import.meta.url))) throw new Error('build the package first');
if (positionals[0] === 'report') await report(values.results);
else await runCases(positionals.length ? checked(positionals.join(','), CASES, 'case') : CASES, values.results);
