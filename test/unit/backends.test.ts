/** Where modules of GPU packages are. What is loaded is in test/model/doctor.test.ts. */
import { expect, test } from 'vitest';
import { outsideAsar } from '../../lib/backends.js';

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
