// Which of ggml's CPU variants this machine should get, by what the kernel says of the CPU: a second opinion on the choice that
// ggml makes with the cpuid instruction.
import fs from 'node:fs';

/** From ggml/src/CMakeLists.txt; each is better than those before it, where both run. */
const x64 = [
  ['x64', ''],
  ['sse42', 'sse4_2'],
  ['sandybridge', 'sse4_2 avx'],
  ['ivybridge', 'sse4_2 avx f16c'],
  ['piledriver', 'sse4_2 avx f16c fma'],
  ['haswell', 'sse4_2 avx f16c fma avx2 bmi2'],
  ['alderlake', 'sse4_2 avx f16c fma avx2 bmi2 avx_vnni'],
  ['skylakex', 'sse4_2 avx f16c fma avx2 bmi2 AVX512'],
  ['cannonlake', 'sse4_2 avx f16c fma avx2 bmi2 AVX512 avx512vbmi'],
  ['cascadelake', 'sse4_2 avx f16c fma avx2 bmi2 AVX512 avx512_vnni'],
  ['icelake', 'sse4_2 avx f16c fma avx2 bmi2 AVX512 avx512vbmi avx512_vnni'],
  ['cooperlake', 'sse4_2 avx f16c fma avx2 bmi2 AVX512 avx512_vnni avx512_bf16'],
  ['zen4', 'sse4_2 avx f16c fma avx2 bmi2 AVX512 avx512vbmi avx512_vnni avx512_bf16'],
  ['sapphirerapids', 'sse4_2 avx f16c fma avx2 bmi2 AVX512 avx512vbmi avx512_vnni avx512_bf16 amx_tile amx_int8'],
];
const avx512 = 'avx512f avx512cd avx512vl avx512dq avx512bw';

/** @param {string} cpuinfo @returns {string} */
export function bestVariant(cpuinfo = fs.readFileSync('/proc/cpuinfo', 'utf8')) {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(cpuinfo)?.[1].trim().split(/\s+/));
  const runs = ([, needs]) =>
    needs
      .replace('AVX512', avx512)
      .split(' ')
      .filter(Boolean)
      .every((flag) => flags.has(flag));
  return x64.findLast(runs)[0];
}
