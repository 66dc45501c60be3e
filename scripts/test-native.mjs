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

/** @returns {Promise<{passed: number, failed: number, failures: string[]}>} */
export async function testNative() {
  if (!fs.readdirSync(inRoot('native/test')).some((name) => name.endsWith('.cpp'))) {
    throw new Failure('There are no C++ tests in native/test.');
  }
  await build({ targets: programs });
  let passed = 0;
  const failures = [];
  for (const program of programs) {
    const result = await runProgram(program);
    passed += result.passed;
    failures.push(...result.failures.map((failure) => `${program}: ${failure}`));
  }
  return { passed, failed: failures.length, failures };
}

async function runProgram(program) {
  const args = ['-C', 'Release', '-R', `^${program}$`, '--no-tests=error', '--timeout', String(timeoutSeconds), '-V'];
  const line = progress(program);
  const onLine = (text) => line.update(text.replace(/^\d+: /, ''));
  const { code, output, reason } = await run('ctest', args, { cwd: inRoot('build/cmake'), onLine });
  const lines = output.split('\n').map((line) => line.replace(/^\d+: /, ''));
  const result = verdict(lines, code, reason);
  line.end(`${result.passed} ok, ${result.failures.length} not ok`);
  if (result.failures.length > 0) console.log(lines.filter((text) => !text.startsWith('ok ')).join('\n'));
  return result;
}

export function verdict(lines, code, reason) {
  const passed = lines.filter((line) => /^ok /.test(line)).length;
  const failures = lines.filter((line) => /^not ok /.test(line));
  const notOk = failures.length;
  const [, saidPassed, saidFailed] = lines.map((line) => /^(\d+) passed, (\d+) failed$/.exec(line)).find(Boolean) ?? [];
  if (saidPassed === undefined) failures.push(`ended without its last line (${reason})`);
  else if (Number(saidPassed) !== passed || Number(saidFailed) !== notOk) {
    failures.push(`says ${saidPassed} passed, ${saidFailed} failed, but printed ${passed} ok and ${notOk} not ok`);
  } else if (passed + notOk === 0) failures.push('ran no test');
  else if (code !== 0 && notOk === 0) failures.push(`all tests ok, yet it failed (${reason})`);
  return { passed, failures };
}

await entry(import.meta, async () => {
  const { passed, failed, failures } = await testNative();
  for (const failure of failures) console.log(failure);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 ? 1 : 0;
});
