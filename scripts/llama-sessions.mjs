#!/usr/bin/env node
// npx llama-sessions doctor | build
import fs from 'node:fs';
import { inRoot } from './parts/files.mjs';
import { entry, Failure, run } from './parts/process.mjs';

const usage = `Usage:
  npx llama-sessions doctor   what is installed here, what it computes with, and what to do about each problem
  npx llama-sessions build    compile the addon on this machine (takes CMake and a C++17 compiler)`;

const commands = { doctor, build, facts };

async function doctor() {
  const { describe, diagnose } = await fromDist('doctor');
  const facts = await examine();
  const findings = diagnose(facts);
  console.log(describe(facts));
  for (const { what, remedy } of findings) console.log(`\n! ${what}\n  → ${remedy}`);
  console.log(findings.length === 0 ? '\nNo problem found.' : '');
  if (findings.some(({ fatal }) => fatal)) process.exitCode = 1;
}

/** In a process of its own: a binary for another C library or CPU may take the process with it. */
async function examine() {
  const { code, output, reason } = await run(process.execPath, [process.argv[1], 'facts']);
  const [known, all] = output.split('\n').filter((line) => line.startsWith('{"'));
  if (known === undefined) throw new Failure(`The examination failed (${reason}):\n${output}`);
  if (all !== undefined && code === 0) return JSON.parse(all);
  return { ...JSON.parse(known), failure: `its process ended (${reason})` };
}

/** Two lines of JSON: what is known without the addon, then all. */
async function facts() {
  const { allFacts, outerFacts } = await fromDist('facts');
  console.log(JSON.stringify(await outerFacts()));
  console.log(JSON.stringify(await allFacts()));
}

async function build() {
  const { build } = await import('./build.mjs');
  await build();
  await doctor();
}

async function fromDist(name) {
  const file = inRoot('dist', `${name}.js`);
  if (!fs.existsSync(file)) throw new Failure('dist/ is missing. In a clone: npm run prepare');
  return import(`../dist/${name}.js`);
}

await entry(import.meta, async ([command, ...more]) => {
  if (!Object.hasOwn(commands, command ?? '') || more.length > 0) {
    console.log(usage);
    process.exitCode = command === undefined || command === '--help' ? 0 : 1;
    return;
  }
  await commands[command]();
});
