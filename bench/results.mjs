/** Results in lines of JSON, as `--results` keeps them, and bench/RESULTS.md with its plots, which is made of them. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { linePlot } from './plot.mjs';

/** @typedef {import('./report.mjs').Row} Row */

/**
 * What one case found under the same conditions, in one run or in many.
 * @typedef {object} Found
 * @property {string} case
 * @property {string} about
 * @property {string} model
 * @property {string} date
 * @property {number} threads
 * @property {string} kvLayout
 * @property {boolean} quick
 * @property {number} repetitions
 * @property {string} cpu
 * @property {number} cores
 * @property {number} memoryGB
 * @property {string} platform
 * @property {string} versions
 * @property {Row[]} rows
 * @property {Record<string, boolean>} goals
 * @property {string[]} notes
 */

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** Who is plotted, in the order of their colours. */
const SPEAKERS = ['ours', 'limit unified', 'limit streams', 'node-llama-cpp', 'llama-server', 'fugood'];

/**
 * Later figures and goals replace earlier ones of the same name, so a case may be run in parts, a part again, and a rival later.
 * @param {string} folder
 * @param {readonly string[]} order of the cases
 * @param {string} [into] the folder of RESULTS.md and plots/
 */
export async function writeReport(folder, order, into = HERE) {
  const [path, plots] = [join(into, 'RESULTS.md'), join(into, 'plots')];
  const found = mergedOf(linesOf(folder)).sort((a, b) => order.indexOf(a.case) - order.indexOf(b.case));
  if (found.length === 0) throw new Error(`no results in ${folder}`);
  rmSync(plots, { recursive: true, force: true });
  mkdirSync(plots, { recursive: true });
  const machines = [
    ...new Set(
      found.map(({ cpu, cores, memoryGB, platform }) => `${cpu}, ${cores} cores, ${memoryGB} GB, ${platform}`),
    ),
  ];
  const text = [
    '# Results',
    'Written by `npm run bench -- report`; [README.md](README.md) says what each case asks and how it is measured.',
    ...machines.map((machine) => `- Machine: ${machine}`),
    ...[...new Set(found.map(({ versions }) => versions))].map((versions) => `- Versions: ${versions}`),
    '## Goals',
    goalTable(found),
    ...found.flatMap((one) => section(one, plots, machines.length > 1)),
  ].join('\n\n');
  const settings = { ...(await resolveConfig(path)), filepath: path };
  writeFileSync(path, await format(text, settings));
  return path;
}

/** @param {string} folder @returns {Found[]} */
function linesOf(folder) {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .sort();
  const lines = files.flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'));
  return lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .sort((a, b) => (a.date < b.date ? -1 : 1));
}

/** @param {Found[]} lines */
function mergedOf(lines) {
  /** @type {Map<string, Found>} */
  const groups = new Map();
  // What is in no cell any more has no note either, that it failed above all.
  for (const line of lines.filter((one, i) => !lines.slice(i + 1).some((later) => replaces(later, one)))) {
    const key = keyOf(line);
    const before = groups.get(key);
    const rows = new Map((before?.rows ?? []).map((row) => [rowName(row), row]));
    for (const row of line.rows) {
      const name = rowName(row);
      rows.set(name, { ...rows.get(name), ...row });
    }
    const notes = [...new Set([...(before?.notes ?? []), ...line.notes])];
    groups.set(key, { ...line, rows: sorted([...rows.values()]), goals: { ...before?.goals, ...line.goals }, notes });
  }
  const all = [...groups.values()];
  // What a quick run says is only of use while nobody has measured.
  return all.filter((one) => !one.quick || !all.some((other) => nameOf(other) === nameOf(one) && !other.quick));
}

/** The conditions. @param {Found} line */
const keyOf = (line) => [line.case, line.model, line.threads, line.kvLayout, line.quick, line.cpu].join('|');

/** Whether a later run has measured all that an earlier one had. @param {Found} later @param {Found} earlier */
function replaces(later, earlier) {
  if (keyOf(later) !== keyOf(earlier)) return false;
  const rows = new Map(later.rows.map((row) => [rowName(row), row]));
  return earlier.rows.every((row) => Object.keys(row).every((column) => column in (rows.get(rowName(row)) ?? {})));
}

/** Of a section, and of its plots. @param {Found} found */
const nameOf = ({ case: name, model, kvLayout }) =>
  [name, model.replace(/\.gguf$/, ''), ...(kvLayout === 'auto' ? [] : [kvLayout])].join('-');

/** @param {Row} row */
const rowName = (row) => `${Object.values(row)[0]}|${row.who ?? ''}|${row.sessions ?? ''}`;

/** By number, where the first column is one. @param {Row[]} rows */
const sorted = (rows) =>
  rows.every((row) => typeof Object.values(row)[0] === 'number')
    ? rows.sort((a, b) => Number(Object.values(a)[0]) - Number(Object.values(b)[0]))
    : rows;

/** @param {Found[]} found */
function goalTable(found) {
  const rows = found.flatMap(({ case: name, model, kvLayout, quick, goals }) =>
    Object.entries(goals).map(([goal, met]) => ({
      case: name,
      model: kvLayout === 'auto' ? model : `${model}, ${kvLayout}`,
      goal,
      met: `${met ? 'met' : '**MISSED**'}${quick ? ' (quick run)' : ''}`,
    })),
  );
  return markdown(rows);
}

/** @param {Found} found @param {string} folder of the plots @param {boolean} mixed with what other machines found */
function section(found, folder, mixed) {
  const { case: name, about, model, threads, kvLayout, repetitions, quick, date, cpu, rows, notes } = found;
  const layout = kvLayout === 'auto' ? '' : `, ours in the layout ${kvLayout}`;
  const repeated = repetitions > 1 ? `medians of ${repetitions} repetitions in turns` : 'one run';
  const quickly = quick ? '; a quick run: it shows that it works, its figures mean little' : '';
  const plots = plotsOf(found).map(([suffix, plot]) => {
    const file = `${nameOf(found)}${suffix}.svg`;
    writeFileSync(join(folder, file), linePlot(plot));
    return `![${plot.title}](plots/${file})`;
  });
  return [
    `## ${name}, ${model}${layout}`,
    `${about}.`,
    `${threads} threads${mixed ? ` of ${cpu}` : ''}, ${repeated}, ${date.slice(0, 10)}${quickly}.`,
    ...plots,
    markdown(rows),
    ...notes.map((note) => `- ${note}`),
  ];
}

/** @param {Found} found @returns {[string, import('./plot.mjs').Plot][]} */
function plotsOf({ case: name, model, rows }) {
  if (name === 'throughput' && rows.length > 1) {
    const series = SPEAKERS.map((who) => seriesOf(who, rows, 'sessions', who)).filter(
      ({ points }) => points.length > 1,
    );
    for (const one of series) one.dashed = one.name.startsWith('limit');
    return [['', { title: `Tokens per second, ${model}`, x: 'sessions', y: 'tok/s', logarithmic: true, series }]];
  }
  if (name !== 'cost') return [];
  return [...new Set(rows.map(({ grows }) => String(grows)))].map((grows) => {
    const some = rows.filter((row) => row.grows === grows);
    const series = [
      seriesOf('measured', some, 'to', 'step ms'),
      { ...seriesOf('roofline', some, 'to', 'fastest ms'), dashed: true },
    ];
    const plot = { title: `Time of a step, ${model}`, x: grows, y: 'ms', logarithmic: true, series };
    return [`-${grows.replaceAll(' ', '-')}`, plot];
  });
}

/** @param {string} name @param {Row[]} rows @param {string} x @param {string} y @returns {import('./plot.mjs').Series} */
function seriesOf(name, rows, x, y) {
  const numbers = rows.filter((row) => typeof row[y] === 'number');
  return { name, points: numbers.map((row) => [Number(row[x]), Number(row[y])]) };
}

/** @param {Row[]} rows */
function markdown(rows) {
  if (rows.length === 0) return 'Nothing was measured.';
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const line = (/** @type {unknown[]} */ cells) =>
    `| ${cells.map((cell) => String(cell ?? '-').replaceAll('|', '\\|')).join(' | ')} |`;
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((column) => row[column]))),
  ].join('\n');
}
