// lib/ → dist/, by tsc. npm's `prepare`, so that a clone and a dependency from git have it too.
import fs from 'node:fs';
import { inRoot, stamp } from './parts/files.mjs';
import { entry, Failure, run } from './parts/process.mjs';

export const libStamp = inRoot('build/lib-built');
export const libSources = [inRoot('lib'), inRoot('tsconfig.json'), inRoot('tsconfig.build.json')];

export async function compileLib() {
  const started = Date.now();
  const tsc = inRoot('node_modules/typescript/bin/tsc');
  if (!fs.existsSync(tsc)) throw new Failure('TypeScript is not installed here. To install it: npm ci --include=dev');
  // Beside dist/ and then in its place: a failure leaves the old one, and nothing of a deleted source is published.
  const next = inRoot('dist.next');
  fs.rmSync(next, { recursive: true, force: true });
  const { code } = await run(process.execPath, [tsc, '-p', inRoot('tsconfig.build.json'), '--outDir', next], {
    show: true,
  });
  if (code !== 0) throw new Failure('lib/ does not compile; see above.');
  fs.rmSync(inRoot('dist'), { recursive: true, force: true });
  fs.renameSync(next, inRoot('dist'));
  stamp(libStamp, started);
}

await entry(import.meta, compileLib);
