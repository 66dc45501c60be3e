/** The second opinion on which CPU variant a machine should get (scripts/package/variant.mjs), and which files it has no use for. */
import { expect, test } from 'vitest';
import { newestVersion } from '../../scripts/parts/binaries.mjs';
import { isForOthers } from '../../scripts/package/install.mjs';
import { bestVariant } from '../../scripts/package/variant.mjs';

const avx2 = 'sse4_2 avx f16c fma avx2 bmi2';
const avx512 = `${avx2} avx512f avx512cd avx512vl avx512dq avx512bw`;

test.each([
  ['', 'x64'],
  ['sse4_2', 'sse42'],
  ['sse4_2 avx f16c fma', 'piledriver'],
  [avx2, 'haswell'],
  [`${avx2} avx_vnni`, 'alderlake'],
  [`${avx2} avx512f avx512cd`, 'haswell'], // a Xeon Phi has half of it
  [avx512, 'skylakex'],
  [`${avx512} avx_vnni`, 'skylakex'],
  [`${avx512} avx512_vnni`, 'cascadelake'],
  [`${avx512} avx512vbmi avx512_vnni`, 'icelake'],
  [`${avx512} avx512vbmi avx512_vnni avx512_bf16 avx_vnni`, 'zen4'],
  [`${avx512} avx512vbmi avx512_vnni avx512_bf16 amx_tile amx_int8 amx_bf16`, 'sapphirerapids'],
])('a CPU with "%s" gets %s', (flags, variant) => {
  expect(bestVariant(`processor\t: 0\nflags\t\t: fpu ${flags}\nbugs\t\t: x\n`)).toBe(variant);
});

test('versions of symbols are compared by number', () => {
  expect(newestVersion(['2.4', '2.28', '2.3.4'])).toBe('2.28');
});

test.each([
  ['linux-x64/llama_sessions.glibc.node', false, true],
  ['linux-x64/libggml-cpu-zen4.so', false, true],
  ['linux-x64/llama_sessions.musl.node', true, false],
  ['linux-x64/musl/libggml-cpu-zen4.so', true, false],
  ['linux-x64/musl', true, false],
  ['linux-x64', false, false], // the folder of both
  ['linux-arm64/libggml-cpu-armv8.0_1.so', true, true],
  ['win32-x64\\ggml.dll', true, true],
])('%s is for others than glibc: %s, than musl: %s', (file, glibc, musl) => {
  expect([isForOthers(file, 'linux-x64', false), isForOthers(file, 'linux-x64', true)]).toEqual([glibc, musl]);
});

test('Windows and macOS have one C library', () => {
  expect(isForOthers('win32-x64\\llama_sessions.node', 'win32-x64', true)).toBe(false);
});
