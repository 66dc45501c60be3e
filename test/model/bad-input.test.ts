/** Model files that are none, or damaged: every one is refused with the documented error, or loads and works. None crashes. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LlamaError, loadModel } from '../../lib/index.js';
import { runChild } from '../support/child.js';
import { refusal } from '../support/deadline.js';
import { RECALL } from '../support/recall.js';

const vocabulary = fileURLToPath(new URL('../../vendor/llama.cpp/models/ggml-vocab-gpt-2.gguf', import.meta.url));
let folder: string;
let whole: Buffer;
/** Where the tensor descriptions begin, and where they end. */
let tensorInfos: number;
let dataStart: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bad-input-'));
  await chmod(folder, 0o755);
  whole = await readFile(RECALL);
  tensorInfos = whole.indexOf('token_embd.weight') - 8;
  dataStart = whole.indexOf('output_norm.weight') + 200;
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, bytes: Uint8Array | string, mode?: number): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  if (mode !== undefined) await chmod(path, mode);
  return path;
}

async function refused(path: string): Promise<string> {
  const error = await refusal(`loading ${path}`, () => loadModel(path, { threads: 1, contextTokens: 512 }));
  expect(error).toBeInstanceOf(LlamaError);
  expect(error.message).toContain(path);
  return String(error.code);
}

describe('what is no model file', () => {
  test('a path to nothing', async () => {
    expect(await refused(join(folder, 'missing.gguf'))).toBe('MODEL_NOT_FOUND');
    expect(await refused(join(folder, 'no', 'such', 'folder.gguf'))).toBe('MODEL_NOT_FOUND');
    expect(await refused(join(await file('plain', 'text'), 'below-a-file.gguf'))).toBe('MODEL_NOT_FOUND');
  });

  test('a directory, a device', async () => {
    expect(await refused(folder)).toBe('MODEL_INVALID');
    expect(await refused('/dev/null')).toBe('MODEL_INVALID');
  });

  test('empty, junk, the magic alone, nothing but zeros behind it', async () => {
    expect(await refused(await file('empty.gguf', ''))).toBe('MODEL_INVALID');
    expect(await refused(await file('junk.gguf', 'j'.repeat(100_000)))).toBe('MODEL_INVALID');
    expect(await refused(await file('magic.gguf', 'GGUF'))).toBe('MODEL_INVALID');
    expect(await refused(await file('zeros.gguf', 'GGUF' + '\0'.repeat(100_000)))).toBe('MODEL_INVALID');
    expect(await refused(await file('text.gguf', '<html>404 Not Found</html>'))).toBe('MODEL_INVALID');
  });

  test('counts and lengths beyond all measure', async () => {
    for (const [name, at, bytes] of [
      ['tensors', 8, 8],
      ['metadata', 16, 8],
      ['key', 24, 8],
    ] as const) {
      for (const value of [0x7f, 0xff]) {
        const copy = Buffer.from(whole);
        copy.fill(value, at, at + bytes);
        expect(await refused(await file(`huge-${name}-${String(value)}.gguf`, copy))).toBe('MODEL_INVALID');
      }
    }
  });

  test('no permission', async () => {
    // Root may read everything, so the one who tries is nobody.
    const path = await file('secret.gguf', whole, 0o600);
    const ending = await runChild(
      `const error = await loadModel(${JSON.stringify(path)}).catch((error) => error); console.log(error.name, error.code, error.message);`,
      { uid: 65534 },
    );
    expect(ending).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(ending.stdout).toMatch(/^LlamaError MODEL_NOT_FOUND .*ermission/);
  });

  test('no permission for the folder', async () => {
    const closed = join(folder, 'closed');
    await mkdir(closed, { mode: 0o700 });
    await writeFile(join(closed, 'model.gguf'), whole);
    const ending = await runChild(
      `const error = await loadModel(${JSON.stringify(join(closed, 'model.gguf'))}).catch((error) => error); console.log(error.name, error.code, error.message);`,
      { uid: 65534 },
    );
    expect(ending).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(ending.stdout).toMatch(/^LlamaError MODEL_NOT_FOUND .*ermission/);
  });

  test('a vocabulary without a model', async () => {
    expect(await refused(vocabulary)).toBe('MODEL_INVALID');
  });
});

test('a file that was cut off anywhere', async () => {
  const lengths = [1, 3, 5, 8, 12, 20, 24, 32, 100, 500, 3000, 10_000];
  lengths.push(tensorInfos - 1, tensorInfos + 4, tensorInfos + 40, tensorInfos + 500, dataStart - 250);
  lengths.push(dataStart + 100, dataStart + 10_000, whole.length >> 1, whole.length - 4096, whole.length - 1);
  for (const length of lengths) {
    const path = await file(`cut-${String(length)}.gguf`, whole.subarray(0, length));
    expect(await refused(path), `${String(length)} bytes`).toBe('MODEL_INVALID');
    await rm(path);
  }
});

test('bytes after the end are no damage', async () => {
  const path = await file('longer.gguf', Buffer.concat([whole, Buffer.from('and more')]));
  await (await loadModel(path, { threads: 1, contextTokens: 512 })).close();
});

test('a hundred damaged headers: each is refused, or loads and talks', async () => {
  // Half of the places are in what decides most: the numbers at the beginning, the tensor descriptions at the end.
  const next = random(20261121);
  const flips = Array.from({ length: 110 }, (_, i) => {
    const [from, to] = [
      [0, 900],
      [tensorInfos, dataStart - 100],
      [0, dataStart - 100],
    ][i % 3] as [number, number];
    return { at: from + (next() % (to - from)), mask: 1 << (next() % 8) };
  });
  const script = (first: number): string => `
    import { readFileSync, writeFileSync } from 'node:fs';
    const whole = readFileSync(RECALL);
    const flips = ${JSON.stringify(flips)};
    const path = ${JSON.stringify(join(folder, 'flipped.gguf'))};
    for (let i = ${String(first)}; i < flips.length; i++) {
      console.log('try ' + i);
      const copy = Buffer.from(whole);
      copy[flips[i].at] ^= flips[i].mask;
      writeFileSync(path, copy);
      try {
        const model = await loadModel(path, { threads: 1, contextTokens: 512, maxResident: 1 });
        try {
          const session = await model.createSession();
          await session.send('Count from 3 to 9.', { maxTokens: 8 });
          console.log('works');
        } finally {
          await model.close();
        }
      } catch (error) {
        console.log(error.code ?? 'UNTYPED ' + error.stack);
      }
    }
    console.log('done');`;
  const problems: string[] = [];
  const outcomes: string[] = [];
  for (let first = 0; first < flips.length;) {
    const ending = await runChild(script(first));
    outcomes.push(...ending.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('try ')));
    const last = Number(/try (\d+)\n(?!.*try)/s.exec(ending.stdout)?.[1] ?? first);
    first = ending.stdout.endsWith('done\n') ? flips.length : last + 1;
    if (first < flips.length)
      problems.push(
        `${JSON.stringify(flips[last])}: ${ending.signal ?? String(ending.code)} ${ending.stderr.slice(-600)}`,
      );
  }
  expect(problems).toEqual([]);
  const counts = Object.fromEntries(
    [...new Set(outcomes)].map((name) => [name, outcomes.filter((each) => each === name).length]),
  );
  // An 'INTERNAL' would be an error that nobody thought of.
  expect(Object.keys(counts).filter((name) => !KNOWN.includes(name))).toEqual([]);
  expect(counts.works).toBeGreaterThan(5);
  expect(counts.MODEL_INVALID).toBeGreaterThan(20);
});

const KNOWN = [
  'works',
  'done',
  'MODEL_INVALID',
  'NOT_SUPPORTED',
  'TEMPLATE_INVALID',
  'OUT_OF_MEMORY',
  'CONTEXT_FULL',
  'DECODE_FAILED',
];

/** Marsaglia's xorshift: the same numbers in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
