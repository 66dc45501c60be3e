/** What `llama-sessions doctor` says of what it finds. What it finds here is in test/model/doctor.test.ts. */
import { describe as group, expect, test } from 'vitest';
import { cpuVariant, describe, diagnose } from '../../lib/doctor.js';
import type { Facts } from '../../lib/facts.js';

const healthy: Facts = {
  version: '1.2.3',
  root: '/app/node_modules/llama-sessions',
  platform: 'linux-x64',
  system: 'linux 6.1',
  libc: 'glibc 2.36',
  runtime: 'Node 22.1.0',
  cpu: 'Some CPU',
  cores: 4,
  totalBytes: 16e9,
  freeBytes: 8e9,
  nvidia: undefined,
  addon: 'prebuilds/linux-x64/llama_sessions.glibc.node',
  failure: undefined,
  computes: {
    llamaVersion: '0.5.0',
    ggmlVersion: '0.25.1',
    tree: 'fd570ef5',
    backends: [
      {
        name: 'CPU',
        file: '/app/prebuilds/linux-x64/libggml-cpu-zen4.so',
        features: { AVX2: '1', SVE_CNT: '16' },
        devices: [{ name: 'CPU', description: 'Some CPU', kind: 'cpu', freeBytes: 8e9, totalBytes: 16e9 }],
      },
    ],
  },
  gpuPackages: [],
  gpuPackageNames: ['llama-sessions-cuda-linux-x64', 'llama-sessions-vulkan-linux-x64'],
};
const broken = (changes: Partial<Facts>): Facts => ({ ...healthy, computes: undefined, ...changes });
const gpu = (refused: string | undefined): Partial<Facts> => ({
  gpuPackages: [{ name: 'llama-sessions-cuda-linux-x64', refused }],
});

test('a healthy installation has no findings, and all of it is described', () => {
  expect(diagnose(healthy)).toEqual([]);
  expect(describe(healthy)).toBe(
    [
      'package     llama-sessions 1.2.3, llama.cpp 0.5.0 (tree fd570ef5), ggml 0.25.1',
      'platform    linux-x64, glibc 2.36, linux 6.1, Node 22.1.0',
      'cpu         Some CPU, 4 physical cores for this process',
      'memory      8.0 GB free of 16.0 GB',
      'addon       prebuilds/linux-x64/llama_sessions.glibc.node, prebuilt',
      'backend     CPU, variant zen4 (libggml-cpu-zen4.so): AVX2 SVE_CNT=16',
      'device      CPU: Some CPU',
    ].join('\n'),
  );
});

test.each([
  ['/x/libggml-cpu-zen4.so', 'zen4'],
  ['C:\\x\\ggml-cpu-alderlake.dll', 'alderlake'],
  ['/x/libggml-cpu-armv8.2_1.so', 'armv8.2_1'],
  ['/x/llama_sessions.node', undefined],
])('the CPU variant of %s is %s', (file, variant) => {
  expect(cpuVariant({ name: 'CPU', file, features: {}, devices: [] })).toBe(variant);
});

group('an addon that does not work', () => {
  test.each<[string, Partial<Facts>, RegExp]>([
    [
      'is not there',
      { addon: undefined, failure: 'No native build was found' },
      /no prebuilt addon for linux-x64 in.*npx llama-sessions build/,
    ],
    ['is not there for musl', { addon: undefined, libc: 'musl', failure: 'No native build' }, /linux-x64 with musl/],
    [
      'wants a newer C library',
      { failure: "/lib/libc.so.6: version `GLIBC_2.38' not found" },
      /older than the prebuilt addon needs/,
    ],
    [
      'lacks the C++ runtime of Windows',
      { platform: 'win32-x64', failure: 'The specified module could not be found.' },
      /Visual C\+\+ Redistributable/,
    ],
    ['is of another machine', { failure: 'invalid ELF header' }, /came from another machine/],
    ['meets an old CPU', { failure: 'its process ended (killed by SIGILL)' }, /CPU lacks instructions/],
    [
      'is of another version',
      { failure: 'x.node was made for version 0.1 of this package, which is 0.2' },
      /two versions are mixed/,
    ],
    ['fails otherwise', { failure: 'something new' }, /install again/],
  ])('%s', (_, changes, remedy) => {
    const [finding, ...more] = diagnose(broken(changes));
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ fatal: true, remedy: expect.stringMatching(remedy) as string });
    expect(finding?.what).toContain(changes.failure);
  });
});

group('a GPU package', () => {
  test.each([
    ['libcudart.so.12: cannot open shared object file', /Install the CUDA runtime/],
    ['a library that it needs is missing', /PATH/],
    ['libcuda.so.1: cannot open shared object file', /--gpus all/],
    ['libvulkan.so.1: cannot open shared object file', /libvulkan1/],
    ["/lib/libc.so.6: version `GLIBC_2.34' not found (required by libggml-cuda.so)", /Use a newer system/],
    ['it finds no device it can use', /nvidia-smi/],
    ['it was made for another version of llama-sessions', /npm install llama-sessions-cuda-linux-x64@latest/],
    ['this addon was compiled from source with ggml inside, and takes no modules', /GGML_CUDA=ON/],
    ['ggml_backend_init returned NULL', /nvidia-smi/],
    ['something new', /the CPU computes/],
  ])('that is refused (%s) has a remedy, and is not fatal', (refused, remedy) => {
    expect(diagnose({ ...healthy, ...gpu(refused) })).toEqual([
      {
        what: `llama-sessions-cuda-linux-x64 is not used: ${refused}`,
        remedy: expect.stringMatching(remedy) as string,
        fatal: false,
      },
    ]);
  });

  test('that is used is described, and the memory of its device', () => {
    const device = { name: 'CUDA0', description: 'Some GPU', kind: 'gpu' as const, freeBytes: 70e9, totalBytes: 80e9 };
    const backends = [{ name: 'CUDA', file: '/x/libggml-cuda.so', features: {}, devices: [device] }];
    const computes = { llamaVersion: '0.5.0', ggmlVersion: '0.25.1', tree: 'fd570ef5', backends };
    expect(describe({ ...healthy, computes })).toContain('device      CUDA0: Some GPU, 70.0 GB free of 80.0 GB');
    expect(describe({ ...healthy, ...gpu(undefined) })).toContain('llama-sessions-cuda-linux-x64: used');
    expect(diagnose({ ...healthy, ...gpu(undefined) })).toEqual([]);
  });

  test('is named where an NVIDIA driver has nothing to do', () => {
    const findings = diagnose({ ...healthy, nvidia: 'NVRM version: 570' });
    expect(findings.map(({ remedy }) => remedy)).toEqual(['npm install llama-sessions-cuda-linux-x64']);
  });
});

test('little memory is a finding', () => {
  expect(diagnose({ ...healthy, freeBytes: 2e8 })).toMatchObject([
    { what: 'Only 0.2 GB of memory are free.', fatal: false },
  ]);
});
