// npm test: everything, C++ and TypeScript. Its last line is `N passed, N failed` over both. What could not run counts
// as a failure. Arguments go to vitest.
import fs from 'node:fs';
import { inRoot, readJson } from './parts/files.mjs';
import { entry, Failure, run } from './parts/process.mjs';
import { ready } from './ready.mjs';
import { testNative } from './test-native.mjs';

const report = inRoot('build/vitest.json');

async function testTypeScript(args) {
  fs.rmSync(report, { force: true });
  const vitest = inRoot('node_modules/vitest/vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const { code, reason } = await run(process.execPath, [vitest, 'run', ...reporters, ...args], {
    cwd: inRoot(),
    show: true,
  });
  if (!fs.existsSync(report)) throw new Failure(`vitest wrote no report (${reason}).`);
  const { numPassedTests: passed, numFailedTests: failed } = readJson(report);
  if (passed + failed === 0) throw new Failure('vitest ran no test.');
  // A file that cannot be imported, or an unhandled rejection, fails no test; nor may it pass.
  if (code !== 0 && failed === 0) console.log(`vitest: all tests passed, yet it failed (${reason}); see above.`);
  return { passed, failed: code !== 0 ? Math.max(failed, 1) : failed };
}

/** A part that cannot run counts as one failure, and the other part still runs. */
async function part(name, work) {
  try {
    return (await work()) ?? { passed: 0, failed: 0 };
  } catch (error) {
    console.log(`\n${name} could not run.`);
    console.log(error instanceof Failure ? error.message : error);
    return { passed: 0, failed: 1 };
  }
}

await entry(import.meta, async (args) => {
  const parts = [await part('The setup', ready)];
  if (parts[0].failed === 0) {
    parts.push(await part('The C++ tests', testNative));
    parts.push(await part('The TypeScript tests', () => testTypeScript(args)));
  }
  for (const failure of parts.flatMap((result) => result.failures ?? [])) console.log(`\n${failure}`); // vitest has told its own
  const [passed, failed] = ['passed', 'failed'].map((key) => parts.reduce((sum, result) => sum + result[key], 0));
  console.log(`\n${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
});
