/** Where modules of GPU packages are, and why they are refused. What is loaded is in test/model/doctor.test.ts. */
import { expect, test } from 'vitest';
import { outsideAsar, plain } from '../../lib/backends.js';

test.each([
  [
    '/App/resources/app.asar/node_modules/gpu/libggml-cuda.so',
    '/App/resources/app.asar.unpacked/node_modules/gpu/libggml-cuda.so',
  ],
  [
    'C:\\App\\app.asar\\node_modules\\gpu\\ggml-cuda.dll',
    'C:\\App\\app.asar.unpacked\\node_modules\\gpu\\ggml-cuda.dll',
  ],
  ['/App/app.asar.unpacked/node_modules/gpu/x.so', '/App/app.asar.unpacked/node_modules/gpu/x.so'],
  ['/srv/my.asarium/node_modules/gpu/x.so', '/srv/my.asarium/node_modules/gpu/x.so'],
])('%s is loaded from %s', (resolved, loaded) => {
  expect(outsideAsar(resolved)).toBe(loaded);
});

const linux = '/gpu/libggml-cuda.so';
const windows = 'C:\\gpu\\ggml-cuda.dll';
test.each([
  [linux, '', undefined],
  [linux, 'it finds no device it can use', 'it finds no device it can use'],
  [
    linux,
    `load_backend: failed to load ${linux}: libcudart.so.12: cannot open shared object file\n`,
    'libcudart.so.12: cannot open shared object file',
  ],
  [windows, `load_backend: failed to load ${windows}: \n`, 'a library that it needs is missing'],
])('what ggml says of %s (%j) is told as %j', (module, said, told) => {
  expect(plain(said, module)).toBe(told);
});
