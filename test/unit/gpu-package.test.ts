/** What GPU packages are compiled for (scripts/gpu-package.mjs). */
import { expect, test } from 'vitest';
import { kinds } from '../../scripts/gpu-package.mjs';

const list = kinds.cuda.options.find((option) => option.startsWith('-DCMAKE_CUDA_ARCHITECTURES='))?.split('=')[1] ?? '';
/** As ggml-cuda/CMakeLists.txt rewrites it; `a`: for that card alone. */
const compiled = list.split(';').map((name) => name.replace(/^(12\d)/, '$1a'));
const machineCode = compiled.filter((name) => !name.endsWith('-virtual')).map((name) => name.replace('-real', ''));
const ptx = compiled.filter((name) => !name.endsWith('-real')).map((name) => name.replace('-virtual', ''));

/** Whether machine code of one architecture runs on a card: the same major version, not newer; `a` means that very one. */
function runsOn(architecture: string, card: number): boolean {
  const number = parseInt(architecture);
  if (architecture.endsWith('a')) return number === card;
  return Math.floor(number / 10) === Math.floor(card / 10) && number <= card;
}

// https://developer.nvidia.com/cuda-gpus and -legacy, those for x64.
test.each([50, 52, 60, 61, 70, 75, 80, 86, 89, 90, 100, 103, 120])(
  'there is machine code for cards of compute capability %i, as no driver is too old for it',
  (card) => {
    expect(machineCode.filter((architecture) => runsOn(architecture, card))).not.toEqual([]);
  },
);

test('there is PTX from which the driver of a later card makes its own', () => {
  expect(ptx.filter((architecture) => !architecture.endsWith('a'))).not.toEqual([]);
});

test('no library is needed that only machines with several cards have', () => {
  expect(kinds.cuda.options).toContain('-DGGML_CUDA_NCCL=OFF');
});
