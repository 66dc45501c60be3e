/** Processes that are killed at any instant. For thousands, or to repeat some: `npm run bench -- kills --seed 7`. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DirectoryStore } from '../../lib/stores/directory.js';
import { audit } from '../support/audit.js';
import { killStores } from '../support/kills.mjs';

const lib = fileURLToPath(new URL('../../dist', import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kill-data-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('killed 16 times, a directory loses nothing and keeps no litter', { timeout: 300_000 }, async () => {
  const findings = await killStores({ lib, folder, DirectoryStore, audit, kills: 16, seed: 1 });
  // Without these the test would say nothing.
  expect(findings.acknowledged).toBeGreaterThan(0);
  expect(findings.pages).toBeGreaterThan(0);
});
