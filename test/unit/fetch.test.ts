/** Where fetched sources are worked on (scripts/parts/fetch.mjs), in a clone of its own. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { inScratch as InScratch } from '../../scripts/parts/fetch.mjs';
import { ROOT } from '../support/program.js';

test('what a killed fetch left behind is gone, also when it had our number', async () => {
  const clone = mkdtempSync(join(tmpdir(), 'fetch-'));
  onTestFinished(() => rmSync(clone, { recursive: true }));
  cpSync(join(ROOT, 'scripts/parts'), join(clone, 'scripts/parts'), { recursive: true });
  for (const pid of [process.pid, process.ppid]) {
    mkdirSync(join(clone, `vendor/.fetch-${pid}/old.tgz`), { recursive: true });
  }
  const script = pathToFileURL(join(clone, 'scripts/parts/fetch.mjs')).href;
  const fetch = (await import(/* @vite-ignore */ script)) as { inScratch: typeof InScratch };
  expect(await fetch.inScratch((scratch) => Promise.resolve(readdirSync(scratch)))).toEqual([]);
  expect(readdirSync(join(clone, 'vendor'))).toEqual([]);
});
