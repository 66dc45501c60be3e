// npm run check: everything that can be said about the code without running it. All checks run, also after a failure.
// npm run format: the same tools change what they can.
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { inRoot, root } from './parts/files.mjs';
import { entry, Failure, run } from './parts/process.mjs';
import { ready } from './ready.mjs';

const bin = (name) => [process.execPath, inRoot('node_modules', name)];

const checks = {
  eslint: (fix) => shows(...bin('eslint/bin/eslint.js'), ...(fix ? ['--fix'] : []), '.'),
  prettier: (fix) => shows(...bin('prettier/bin/prettier.cjs'), fix ? '--write' : '--check', '--log-level=warn', '.'),
  'clang-format': clangFormat,
  types: () => shows(...bin('typescript/bin/tsc'), '--project', 'tsconfig.json'),
  docs: () => shows(...bin('typedoc/bin/typedoc'), '--emit', 'none', '--logLevel', 'Warn'),
  'package-lock': lockNamesNoHost,
};
const formatters = ['eslint', 'prettier', 'clang-format'];
const clangFormatMajor = '14'; // each lays out a little differently; this is Debian 12's

/** @returns {Promise<string>} why it failed; empty: it did not */
async function shows(command, ...args) {
  const { code, reason } = await run(command, args, { cwd: root, show: true });
  return code === 0 ? '' : reason;
}

async function clangFormat(fix) {
  const [, major] = /version (\d+)/.exec((await run('clang-format', ['--version'])).output) ?? [];
  if (major !== clangFormatMajor) {
    console.log(
      `The layout of the C++ is left alone: that takes clang-format ${clangFormatMajor} (here: ${major ?? 'none'}).`,
    );
    return '';
  }
  const sources = fs.readdirSync(inRoot('native'), { recursive: true }).filter((name) => /\.(cpp|h)$/.test(name));
  const what = fix ? ['-i'] : ['--dry-run', '--Werror'];
  return shows('clang-format', ...what, ...sources.map((name) => path.join('native', name)));
}

/** A `resolved` field would send everybody to the registry of whoever made the lock file. */
async function lockNamesNoHost() {
  const named = fs.readFileSync(inRoot('package-lock.json'), 'utf8').match(/"resolved": ".*"/g) ?? [];
  return named.length > 0 ? `${named.length} resolved fields, such as ${named[0]}` : '';
}

await entry(import.meta, async (args) => {
  const { values } = parseArgs({ args, options: { fix: { type: 'boolean' } } });
  await ready();
  const failures = [];
  for (const name of values.fix ? formatters : Object.keys(checks)) {
    const failure = await checks[name](values.fix);
    console.log(`${failure ? 'FAILED' : 'ok'}  ${name}${failure ? `: ${failure}` : ''}`);
    if (failure) failures.push(name);
  }
  if (failures.length > 0) throw new Failure(`Failed: ${failures.join(', ')}`);
});
