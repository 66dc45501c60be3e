/** `npm run bench` works: the cheap cases on a model that is made in a blink. What it finds out about speed is not looked at. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { namedModel } from '../../bench/generate-model.mjs';

const PROGRAM = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url));

interface Found {
  case: string;
  rows: Record<string, unknown>[];
  goals: Record<string, boolean>;
  notes: string[];
}

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'bench-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const run = promisify(execFile);

/** Exits with 1 where a goal is missed, which is no failure here: other tests run beside it. */
async function bench(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  try {
    return await run(process.execPath, [PROGRAM, ...args]);
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    if (code !== 1 || stderr.includes('Error')) throw new Error(stderr, { cause: error });
    return { stdout, stderr };
  }
}

test('a quick run says what it found, in lines of JSON and in a report', async () => {
  const args = ['--model', namedModel('tiny'), '--quick', '--threads', '1', '--rivals', 'none'];
  const cases = ['occupancy', 'first-token'];
  const { stdout, stderr } = await bench(...cases, ...args, '--json', '--results', folder);
  const found = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Found);
  expect(found.map((one) => one.case)).toEqual(cases);
  expect(found.flatMap(({ notes }) => notes)).toEqual([]);
  expect(found[0]!.rows.map(({ sessions }) => sessions)).toEqual([2, 8]);
  const [ours] = found[1]!.rows;
  expect(ours!.who).toBe('ours');
  for (const when of ['idle ms', 'busy ms']) expect(ours![when]).toBeTypeOf('number');
  for (const name of cases) expect(stderr).toContain(name); // progress, although nobody watches

  await bench('report', '--results', folder, '--into', folder);
  const report = readFileSync(join(folder, 'RESULTS.md'), 'utf8');
  for (const name of cases) expect(report).toContain(`## ${name}, tiny-f16.gguf`);
});

test('a rival that can’t run is reported as failed', async () => {
  const args = ['--model', join(folder, 'nothing.gguf'), '--quick', '--rivals', 'none'];
  const { stdout } = await bench('first-token', ...args, '--json');
  const { rows, notes } = JSON.parse(stdout) as Found;
  expect(rows).toMatchObject([{ who: 'ours', 'idle ms': 'failed' }]);
  expect(notes).toEqual([expect.stringContaining('nothing.gguf')]);
});

test('a case, a rival or a layout that is unknown is refused', async () => {
  for (const args of [['speed'], ['--rivals', 'nobody'], ['--kv-layout', 'round']]) {
    await expect(bench(...args)).rejects.toThrow(/RangeError: no (case|rival|layout) /);
  }
});
