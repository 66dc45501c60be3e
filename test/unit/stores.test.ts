import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { MemoryStore } from '../../lib/stores/memory.js';
import { storeSuite } from '../suites/store-suite.js';

storeSuite('MemoryStore', { open: () => Promise.resolve(new MemoryStore()) });

let path: string;
storeSuite('DirectoryStore', {
  open: async () => {
    path = await mkdtemp(join(tmpdir(), 'store-'));
    return new DirectoryStore(path);
  },
  reopen: () => Promise.resolve(new DirectoryStore(path)),
  clean: () => rm(path, { recursive: true, force: true }),
});
