/** The documents keep their word: examples run and print what they say, names exist. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../lib/index.js';
import { ROOT, run, start, type Program } from '../support/program.js';
import { RECALL } from '../support/recall.js';
import { freePort, portArgs, RedisProcess } from '../support/redis.js';
import { recallWithTemplate, templateOf } from '../support/templates.js';

const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'docs/stats.md',
  'docs/deploying.md',
  'docs/performance.md',
];
/** Only the repository has them; npm's page leads there. */
const IN_REPOSITORY = /^(CONTRIBUTING\.md|bench\/)/;
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
/** The examples, each with the heading it stands under. */
const blocks = readme
  .split(/^## /m)
  .flatMap((section) =>
    [...section.matchAll(/^```(?:js|ts)\n(.*?)^```$/gms)].map(([, code = '']): [string, string] => [
      section.slice(0, section.indexOf('\n')),
      code,
    ]),
  );
const programs = blocks.filter(([, code]) => !code.includes('createServer'));
const server = blocks.find(([, code]) => code.includes('createServer'))?.[1] ?? '';

// Below the repository, so that the package's own name leads to dist/, and the examples run as they stand.
let folder: string;
beforeAll(async () => {
  await mkdir(join(ROOT, 'build'), { recursive: true });
  folder = await mkdtemp(join(ROOT, 'build', 'readme-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** For the example with tools: the test model's own template knows none. */
let calling: string;
beforeAll(async () => {
  const template = await templateOf('meetkai-functionary-medium-v3.2');
  calling = await recallWithTemplate(() => template, { in: folder });
});

/** For the example that needs one. */
let redis: RedisProcess;
let env: Record<string, string>;
beforeAll(async () => {
  const port = await freePort();
  redis = await new RedisProcess(...portArgs(port)).start();
  env = { REDIS_URL: `redis://127.0.0.1:${port}` };
});
afterAll(() => redis.stop());

/** A folder with the example and a model, as the reader would have it. */
async function prepare(code: string): Promise<string> {
  const cwd = await mkdtemp(join(folder, 'example-'));
  await copyFile(code.includes('tools') ? calling : RECALL, join(cwd, 'model.gguf'));
  await writeFile(join(cwd, 'example.mjs'), code);
  return cwd;
}

test('there are examples, and one of them is a server', () => {
  expect(programs.length).toBeGreaterThan(2);
  expect(server).not.toBe('');
});

// Again, as a starved machine may run the test model to its end before the example gets to cancel it.
test.each(programs)('%s', { timeout: 400_000, retry: 2 }, async (_, code) => {
  const ending = await run(['example.mjs'], { cwd: await prepare(code), env });
  expect(ending).toMatchObject({ code: 0, stderr: '' });
  let rest = ending.stdout;
  for (const [, expected = ''] of code.matchAll(/→ (.+)$/gm)) {
    expect(rest).toContain(expected);
    rest = rest.slice(rest.indexOf(expected) + expected.length);
  }
});

describe('the server', { timeout: 150_000 }, () => {
  let cwd: string;
  let program: Program;
  let url: string;
  const open = async (): Promise<void> => {
    program = start(['example.mjs'], { cwd, env: { PORT: '0' } });
    url = await program.printed(/http:\S+\d/);
  };
  const stop = async (): Promise<void> => {
    program.child.kill('SIGTERM');
    expect(await program.ended).toMatchObject({ code: 0, stderr: '' });
  };
  const post = async (user: string, body: string): Promise<[number, string]> => {
    const response = await fetch(`${url}/${user}`, { method: 'POST', body });
    return [response.status, await response.text()];
  };
  const stats = async (): Promise<Record<string, number>> =>
    (await (await fetch(`${url}/stats`)).json()) as Record<string, number>;
  /** Sends, and goes away at the first words of the reply. */
  const leave = (user: string, body: string): Promise<void> =>
    new Promise((resolve) => {
      const call = request(`${url}/${user}`, { method: 'POST' }, (response) => {
        response.once('data', () => call.destroy());
        response.on('error', () => undefined);
        response.on('close', resolve);
      });
      call.on('error', () => undefined);
      call.end(body);
    });

  test('answers many, cancels for those who leave, and remembers after a restart', async () => {
    cwd = await prepare(server);
    await open();
    expect((await post('', 'Hello!'))[0]).toBe(400);
    const users = ['Ada', 'Bob', 'Carol', 'Dave'];
    const told = await Promise.all(users.map((user) => post(user, `My name is ${user}.`)));
    expect(told.map(([status]) => status)).toEqual(users.map(() => 200));
    const both = await Promise.all([post('Erin', 'My name is Erin.'), post('Erin', 'My name is Erin.')]);
    expect(both.map(([status]) => status)).toEqual([200, 200]);
    // The story takes the test model some milliseconds: it may be over before the server hears that nobody listens.
    for (let tries = 0; tries < 50 && (await stats())['failedTurns'] === 0; tries++) {
      await leave(`Frank${tries}`, 'Tell me a story.');
    }
    expect((await stats())['failedTurns']).toBeGreaterThan(0);
    await stop();

    await open();
    for (const user of users) expect((await post(user, 'What is my name?'))[1]).toContain(user);
    // Their KV was there for each of them; where computing it is faster, it is not brought back.
    const { storeRestores = 0, declinedRestores = 0, kvMisses } = await stats();
    expect([storeRestores + declinedRestores, kvMisses]).toEqual([users.length, 0]);
    expect(storeRestores).toBeGreaterThan(0);
    await stop();
  });

  test.each([
    ['was deleted', "model.deleteSession('Ada')", ''],
    ['was closed', "model.getSession('Ada').close()", 'Ada'],
  ])('a session that %s is opened anew, and the server still ends in order', async (_, act, remembered) => {
    cwd = await prepare(`${server}\nprocess.on('SIGUSR2', () => ${act}.then(() => console.log('done')));`);
    await open();
    expect((await post('Ada', 'My name is Ada.'))[0]).toBe(200);
    program.child.kill('SIGUSR2');
    await program.printed(/done/);
    const [status, text] = await post('Ada', 'What is my name?');
    expect(status).toBe(200);
    expect(text.includes('Ada')).toBe(remembered !== '');
    program.child.kill('SIGUSR2'); // and nobody opens it again
    await program.printed(/done\s+done/);
    await stop();
  });
});

test('the table of errors has every code, and no other', async () => {
  const source = await readFile(join(ROOT, 'lib/errors.ts'), 'utf8');
  const codes = [...source.matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map(([, code]) => code);
  const documented = [...readme.matchAll(/^\| `([A-Z_]+)` /gm)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(20);
  expect(documented).toEqual(codes);
});

test('docs/stats.md has every counter, and no other', async () => {
  const text = await readFile(join(ROOT, 'docs/stats.md'), 'utf8');
  const documented = [...text.matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name);
  const folder = await mkdtemp(join(tmpdir(), 'llama-sessions-'));
  const model = await loadModel(RECALL, { threads: 1, contextTokens: 1024, store: folder });
  await (await model.createSession()).save(); // the store has counters once it was used
  const counters = Object.keys(model.stats());
  await model.close();
  await rm(folder, { recursive: true });
  expect(documented.sort()).toEqual(counters.sort());
});

test('the package has what its README links to', () => {
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
  const always = ['LICENSE', 'README.md'];
  const linked = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = '']) => link);
  expect(linked.length).toBeGreaterThan(5);
  expect([...always, ...files]).toEqual(expect.arrayContaining(linked.filter((link) => !IN_REPOSITORY.test(link))));
});

describe.each(DOCUMENTS)('%s', (name) => {
  const text = readFileSync(join(ROOT, name), 'utf8');

  test('names only commands that exist', async () => {
    const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const named = [...text.matchAll(/npm (?:run ([\w-]+)|(test))/g)].map(([, script, short]) => script ?? short);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(named));
  });

  test('links only to files that exist', () => {
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = '']) => link);
    expect(links.filter((link) => !existsSync(join(ROOT, dirname(name), link)))).toEqual([]);
  });
});
