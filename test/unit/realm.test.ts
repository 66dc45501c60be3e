/** Modules that have a realm of their own, as jest gives them: what is Node's there is of another one. */
import { expect, test } from 'vitest';
import { run } from '../support/program.js';

const EMITTER = `
import { readFile } from 'node:fs/promises';
import * as util from 'node:util';
import { createContext, runInContext, SourceTextModule, SyntheticModule } from 'node:vm';
const context = createContext({ process });
const names = Object.keys(util);
const nodes = new SyntheticModule(names, () => names.forEach((name) => nodes.setExport(name, util[name])), { context });
const load = async (file) => new SourceTextModule(await readFile('dist/' + file, 'utf8'), { context });
const emitter = await load('emitter.js');
await emitter.link((name) => (name === 'node:util' ? nodes : load(name)));
await emitter.evaluate();
context.events = new emitter.namespace.Emitter();
runInContext("events.on('turn', () => { throw new Error('mine'); }); events.emit('turn');", context);
console.log('undisturbed');`;

test('a listener that throws there disturbs nobody', async () => {
  const { stdout, stderr } = await run(['--experimental-vm-modules', '--input-type=module', '--eval', EMITTER]);
  expect(stderr).toMatch(/Warning: Error: mine\n +at /);
  expect(stdout).toBe('undisturbed\n');
});
