// The C++ tests: built plain, with ASan and UBSan, and with TSan; run by ctest.
//
// A test program prints `ok NAME` or `not ok NAME` per test case and `N passed, N failed` at its end. All three are
// checked against each other: a program that dies half-way must not pass for a short one.
import fs from 'node:fs';
import { build } from './build.mjs';
import { inRoot } from './parts/files.mjs';
import { entry, Failure, run } from './parts/process.mjs';
import { progress } from './parts/progress.mjs';

const sanitizers = ['linux', 'darwin'].includes(process.platform);
const programs = ['engine_tests', ...(sanitizers ? ['engine_tests_asan', 'engine_tests_tsan'] : [])];
const timeoutSeconds = 900;

/** @returns {Promise<{passed: number, failed: number}>} */
export async function testNative() {
  if (!fs.readdirSync(inRoot('native/test')).some((name) => name.endsWith('.cpp'))) {
    throw new Failure('There are no C++ tests in native/test.');
  }
  await build({ targets: programs });
  const sum = { passed: 0, failed: 0 };
  for (const program of programs) {
    const result = await runProgram(program);
    sum.passed += result.passed;
    sum.failed += result.failed;
  }
  return sum;
}

async function runProgram(program) {
  const args = ['-C', 'Release', '-R', `^${program}$`, '--no-tests=error', '--timeout', String(timeoutSeconds), '-V'];
  const line = progress(program);
  const onLine = (text) => line.update(text.replace(/^\d+: /, ''));
  const { code, output, reason } = await run('ctest', args, { cwd: inRoot('build/cmake'), onLine });
  const lines = output.split('\n').map((line) => line.replace(/^\d+: /, ''));
  const result = verdict(lines, code, reason);
  line.end(`${result.passed} ok, ${result.failed} not ok`);
  if (result.failed > 0) console.log(output);
  for (const problem of result.problems) console.log(`${program}: ${problem}`);
  return result;
}

export function verdict(lines, code, reason) {
  const passed = lines.filter((line) => /^ok /.test(line)).length;
  const notOk = lines.filter((line) => /^not ok /.test(line)).length;
  const [, saidPassed, saidFailed] = lines.map((line) => /^(\d+) passed, (\d+) failed$/.exec(line)).find(Boolean) ?? [];
  const problems = [];
  if (saidPassed === undefined) problems.push(`ended without its last line (${reason})`);
  else if (Number(saidPassed) !== passed || Number(saidFailed) !== notOk) {
    problems.push(`says ${saidPassed} passed, ${saidFailed} failed, but printed ${passed} ok and ${notOk} not ok`);
  } else if (passed + notOk === 0) problems.push('ran no test');
  else if (code !== 0 && notOk === 0) problems.push(`all tests ok, yet it failed (${reason})`);
  return { passed, failed: notOk + problems.length, problems };
}

await entry(import.meta, async () => {
  const { passed, failed } = await testNative();
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
});
