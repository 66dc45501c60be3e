// node scripts/gpu-package.mjs cuda|vulkan: a package for this platform that holds one backend module and nothing else, in
// build/packages/. llama-sessions picks it up when it is installed beside it (lib/backends.ts).
//
//   LLAMA_SESSIONS_CMAKE="-D…"   more options for CMake
//   LLAMA_SESSIONS_GLIBC=2.28    fail when the module asks for a newer C library
import fs from 'node:fs';
import path from 'node:path';
import { build, givenOptions } from './build.mjs';
import { checkFloor, strip } from './parts/binaries.mjs';
import { inRoot, megabytes, readJson, shown, sizeOf } from './parts/files.mjs';
import { writeLicenses } from './parts/licenses.mjs';
import { entry, Failure } from './parts/process.mjs';

// Nothing in ggml asks whether a card can run what was compiled: one that can't ends the process at its first kernel. So there is
// machine code for every card that a driver for CUDA 12 drives: it runs on cards of the same major version that are not older, and
// needs no newer driver, as PTX would. Later cards get theirs from their driver, which makes it from the PTX of 100 (without `-real`
// there are both). That of 120 would not do: ggml's CMake makes it 120a, which is for that card alone.
const cudaArchitectures = [
  ...['50-real', '60-real', '61-real', '70-real'], // Maxwell, Pascal, Volta
  ...['75-real', '80-real', '86-real', '89-real', '90-real'], // Turing, Ampere, Ada, Hopper
  ...['100', '120-real'], // Blackwell
];

export const kinds = {
  cuda: {
    title: 'CUDA',
    needs:
      'An NVIDIA GPU of compute capability 5.0 or newer (GeForce GTX 900, from 2014, and later ones), a driver for CUDA 12 (525 or ' +
      'newer), and the CUDA 12 runtime with cuBLAS 12 (they are not part of this package).',
    options: [
      '-DGGML_CUDA=ON',
      `-DCMAKE_CUDA_ARCHITECTURES=${cudaArchitectures.join(';')}`,
      '-DGGML_CUDA_NCCL=OFF', // else the module needs NCCL's library wherever it was there when the module was compiled
    ],
  },
  vulkan: {
    title: 'Vulkan',
    needs: 'A driver with Vulkan 1.2 and the Vulkan loader (Debian: libvulkan1).',
    options: ['-DGGML_VULKAN=ON'],
  },
};
const modules = { linux: (kind) => `libggml-${kind}.so`, win32: (kind) => `ggml-${kind}.dll` };

const out = 'build/gpu';

export const packageName = (kind) => `llama-sessions-${kind}-${process.platform}-${process.arch}`;

/** What makes a folder with a module in it a GPU package. */
export function manifest(kind, module) {
  const { version, license, engines, repository } = readJson(inRoot('package.json'));
  return {
    name: packageName(kind),
    version,
    description: `The ${kinds[kind].title} backend of llama-sessions for ${process.platform} ${process.arch}`,
    license,
    repository,
    os: [process.platform],
    cpu: [process.arch],
    ...(process.platform === 'linux' && { libc: ['glibc'] }),
    engines,
    files: [module, 'THIRD_PARTY_LICENSES'],
    peerDependencies: { 'llama-sessions': version },
    llamaSessions: { module, tree: readJson(inRoot('vendor/llama.cpp.json')).tree.slice(0, 8) },
  };
}

export function readme(kind) {
  const { title, needs } = kinds[kind];
  const text = fs.readFileSync(inRoot('packages/gpu/README.md'), 'utf8');
  return text.replaceAll('{name}', packageName(kind)).replaceAll('{title}', title).replaceAll('{needs}', needs);
}

await entry(import.meta, async ([kind]) => {
  if (!Object.hasOwn(kinds, kind ?? '')) throw new Failure('Usage: node scripts/gpu-package.mjs cuda|vulkan');
  if (!modules[process.platform]) throw new Failure(`There is no ${kind} package for ${process.platform}.`);
  const module = modules[process.platform](kind);
  const portable = ['-DLLAMA_SESSIONS_PORTABLE=ON', '-DLLAMA_SESSIONS_TESTS=OFF', `-DLLAMA_SESSIONS_OUT=${out}`];
  await build({
    folder: `cmake-${kind}`,
    targets: [`ggml-${kind}`],
    options: [...portable, ...kinds[kind].options, ...(givenOptions() ?? [])],
  });

  const folder = inRoot('build/packages', packageName(kind));
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  fs.copyFileSync(inRoot(out, 'Release', module), path.join(folder, module));
  if (process.platform === 'linux') {
    await strip(path.join(folder, module));
    await checkFloor(folder, process.env.LLAMA_SESSIONS_GLIBC);
  }
  writeLicenses();
  fs.copyFileSync(inRoot('THIRD_PARTY_LICENSES'), path.join(folder, 'THIRD_PARTY_LICENSES'));
  fs.copyFileSync(inRoot('LICENSE'), path.join(folder, 'LICENSE'));
  fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(manifest(kind, module), null, 2)}\n`);
  fs.writeFileSync(path.join(folder, 'README.md'), readme(kind));
  console.log(`${shown(folder)}: ${megabytes(sizeOf(folder))}. To publish: npm publish ${shown(folder)}`);
});
