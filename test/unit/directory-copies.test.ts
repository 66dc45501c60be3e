/** Two copies of the package in one process, each with an SQLite of its own. */
import { cp, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { addon, addonFile } from '../../lib/binding.js';
import type { Addon } from '../../lib/native.js';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { nameOf, self } from '../../lib/stores/process.js';
import { bytes, failure, makeBench, read } from '../support/directory.js';

const bench = makeBench();

// On Windows locks belong to the opening of a file, and the copies see each other's.
test.skipIf(process.platform === 'win32')('only one at a time has a directory open', async () => {
  const copy = join(bench.root, 'copy');
  await cp(dirname(addonFile()), copy, { recursive: true });
  const other = createRequire(import.meta.url)(join(copy, basename(addonFile()))) as Addon;
  expect(other.Index).not.toBe(addon().Index);
  await bench.store.putRecord('a', bytes('x'), { expected: 0 });
  const file = join(bench.root, 'index', 'index.db');
  await expect(new other.Index().open(file, nameOf(self))).rejects.toMatchObject({ code: 'ANOTHER_COPY' });
  // This one may open it as often as it wants, whatever it calls it.
  const link = join(bench.root, 'link');
  await symlink(bench.root, link);
  const again = new DirectoryStore(link);
  expect(await read(again, 'a')).toBe('1:x');
  await bench.store.close();
  await expect(new other.Index().open(file, nameOf(self))).rejects.toMatchObject({ code: 'ANOTHER_COPY' });
  await again.close();
  const taken = new other.Index();
  await taken.open(file, nameOf(self));
  const late = new DirectoryStore(bench.root);
  expect((await failure(late.getRecord('a'))).message).toMatch(/another copy of this package in this process.*npm ls/);
  await taken.close();
  expect(await read(late, 'a')).toBe('1:x');
  await late.close();
});
