import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { MemoryStore } from '../../lib/stores/memory.js';
import { typedStore } from '../../lib/stores/typed.js';
import { storeSuite } from '../suites/store-suite.js';

storeSuite('MemoryStore', {
  open: (pageBytes) => Promise.resolve(new MemoryStore(pageBytes === undefined ? {} : { pageBytes })),
  budget: true,
});

const paths: string[] = [];
const directory = {
  open: async (pageBytes?: number) => {
    paths.push(await mkdtemp(join(tmpdir(), 'store-')));
    return new DirectoryStore(paths.at(-1) ?? '', pageBytes === undefined ? {} : { pageBytes });
  },
  reopen: () => Promise.resolve(new DirectoryStore(paths.at(-1) ?? '')),
  clean: async () => {
    for (const path of paths.splice(0)) await rm(path, { recursive: true, force: true });
  },
  budget: true,
};
storeSuite('DirectoryStore', directory);
storeSuite('a typed store', {
  ...directory,
  open: async (pageBytes?: number) => typedStore(await directory.open(pageBytes)),
  reopen: async () => typedStore(await directory.reopen()),
});
