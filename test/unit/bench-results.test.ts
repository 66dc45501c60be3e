/** What the bench found becomes bench/RESULTS.md and its plots. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { linePlot } from '../../bench/plot.mjs';
import { writeReport } from '../../bench/results.mjs';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'bench-results-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const conditions = {
  about: 'how fast',
  model: 'some.gguf',
  threads: 2,
  kvLayout: 'auto',
  quick: false,
  repetitions: 3,
  cpu: 'a processor',
  cores: 2,
  memoryGB: 8,
  platform: 'linux-x64',
  versions: 'all of them',
  notes: [] as string[],
};
const row = (sessions: number, ours: number) => ({ sessions, ours, 'limit unified': ours + 1 });

async function reportOf(...lines: object[]): Promise<string> {
  const text = lines.map((line) => JSON.stringify({ ...conditions, ...line })).join('\n');
  writeFileSync(join(folder, 'throughput.jsonl'), text);
  return readFileSync(await writeReport(folder, ['throughput', 'cost'], folder), 'utf8');
}

test('a case that ran in parts is one table, and what ran again replaces what was there', async () => {
  const first = { case: 'throughput', date: '2026-01-01', rows: [row(8, 111), row(1, 222)], goals: { fast: false } };
  const again = { case: 'throughput', date: '2026-01-02', rows: [row(8, 333), row(16, 444)], goals: { fast: true } };
  const report = await reportOf(again, first);
  const numbers = [...report.matchAll(/^\| (\d+) +\| (\d+)/gm)].map(([, sessions, ours]) => [sessions, ours]);
  expect(numbers).toEqual([
    ['1', '222'],
    ['8', '333'],
    ['16', '444'],
  ]);
  expect(report).not.toContain('MISSED');
});

test('what was asked of several numbers of sessions has a row for each', async () => {
  const text = (sessions: number) => ({ text: 'repeats itself', sessions, ratio: 10 + sessions });
  const report = await reportOf({ case: 'throughput', date: '2026-01-01', rows: [text(1), text(8)], goals: {} });
  expect(report).toMatch(/^\| repeats itself \| 1 +\| 11 +\|\n\| repeats itself \| 8 +\| 18 +\|$/m);
});

test('a rival that only an earlier run asked stays in the table', async () => {
  const first = { case: 'throughput', date: '2026-01-01', rows: [{ ...row(8, 111), somebody: 99 }], goals: {} };
  const again = { case: 'throughput', date: '2026-01-02', rows: [row(8, 333)], goals: {} };
  expect(await reportOf(first, again)).toMatch(/^\| 8 +\| 333 +\| 334 +\| 99 +\|$/m);
});

test('why something failed is said as long as it stands in the table', async () => {
  const notes = ['1 sessions, somebody: 1 of 1 runs failed: out of memory'];
  const failed = {
    case: 'throughput',
    date: '2026-01-01',
    rows: [{ ...row(1, 2), somebody: 'failed' }],
    goals: {},
    notes,
  };
  const without = { case: 'throughput', date: '2026-01-02', rows: [row(1, 2)], goals: {} };
  expect(await reportOf(failed, without)).toContain(notes[0]);
  const elsewhere = { ...failed, date: '2026-01-03', notes: [], rows: [{ ...row(8, 2), somebody: 3 }] };
  expect(await reportOf(failed, elsewhere)).toContain(notes[0]);
  const again = { ...failed, date: '2026-01-03', notes: [], rows: [{ ...row(1, 2), somebody: 3 }] };
  expect(await reportOf(failed, again)).not.toContain('failed');
});

test('where several machines were measured, each table says on which one', async () => {
  const one = { case: 'throughput', date: '2026-01-01', rows: [row(1, 2)], goals: {} };
  expect(await reportOf(one)).toContain('\n2 threads, medians');
  const report = await reportOf(one, { ...one, cpu: 'another one' });
  expect(report).toContain('\n2 threads of a processor, medians');
  expect(report).toContain('\n2 threads of another one, medians');
});

test('a goal that was missed and a rival that failed are said', async () => {
  const notes = ['1 sessions, somebody: 1 of 3 runs failed: out of memory'];
  const report = await reportOf({
    case: 'throughput',
    date: '2026-01-01',
    rows: [{ ...row(1, 2), somebody: 'failed' }],
    goals: { 'as fast as light': false },
    notes,
  });
  expect(report).toMatch(/as fast as light +\| \*\*MISSED\*\*/);
  expect(report).toMatch(/\| failed +\|/);
  expect(report).toContain(notes[0]);
});

test('a quick run counts only while there is no other, and says that it is one', async () => {
  const quick = { case: 'throughput', date: '2026-01-03', quick: true, rows: [row(1, 5)], goals: {} };
  expect(await reportOf(quick)).toContain('a quick run');
  const whole = { case: 'throughput', date: '2026-01-01', rows: [row(1, 7)], goals: {} };
  const report = await reportOf(quick, whole);
  expect(report).not.toContain('a quick run');
  expect(report).toContain('| 7 ');
});

test('each plot that the report shows is there', async () => {
  const points = [1, 2].map((to) => ({
    point: `history ${to}`,
    grows: 'history',
    to,
    'step ms': to,
    'fastest ms': to / 2,
  }));
  const throughput = { case: 'throughput', date: '2026-01-01', rows: [row(1, 5), row(2, 7)], goals: {} };
  const report = await reportOf(throughput, { case: 'cost', date: '2026-01-01', rows: points, goals: {} });
  const shown = [...report.matchAll(/!\[.*\]\((.*)\)/g)].map(([, path]) => String(path));
  expect(shown).toHaveLength(2);
  for (const path of shown) expect(existsSync(join(folder, path))).toBe(true);
});

test('a plot holds a line through its points, inside the frame, and no markup of names', () => {
  const svg = linePlot({
    title: 'a < b',
    x: 'x',
    y: 'y',
    series: [
      {
        name: 'one',
        points: [
          [4, 10],
          [2, 5],
        ],
      },
    ],
  });
  expect(svg).toContain('a &lt; b');
  const [, path] = /d="M([\d. L]+)" fill/.exec(svg) ?? [];
  const places = String(path)
    .split('L')
    .map((place) => place.split(' ').map(Number));
  expect(places.map(([x]) => x)).toEqual([64, 540]);
  expect(places[0]![1]).toBeGreaterThan(places[1]![1]!);
  expect(places.flat().every((at) => at >= 0 && at <= 720)).toBe(true);
});
