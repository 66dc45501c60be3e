// What vendor/ is made of, on its way there.
import fs from 'node:fs';
import { inRoot } from './files.mjs';
import { Failure, npm, run } from './process.mjs';

/**
 * Work on what is fetched happens in a folder beside the real one, which is swapped in at the very end. Under the lock only.
 * @template Result
 * @param {(scratch: string) => Promise<Result>} work
 */
export async function inScratch(work) {
  const scratch = inRoot('vendor', `.fetch-${process.pid}`);
  removeLeftovers();
  fs.mkdirSync(scratch, { recursive: true });
  try {
    return await work(scratch);
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

/** What interrupted fetches left behind; nobody else fetches while we have the lock. */
function removeLeftovers() {
  const leftovers = fs.readdirSync(inRoot('vendor')).filter((name) => /^\.fetch-\d+$/.test(name));
  for (const name of leftovers) fs.rmSync(inRoot('vendor', name), { recursive: true, force: true });
}

/**
 * Files out of a package on npm, without installing it: no script of its runs.
 * @param {string} spec name@version
 * @param {string[]} files in the package; they will lie below `scratch`/package
 * @param {string} scratch an empty folder
 * @param {{ update(text: string): void }} line
 */
export async function unpackFromNpm(spec, files, scratch, line) {
  line.update('downloading');
  const [command, first] = npm();
  const pack = await run(command, [...first, 'pack', spec, '--ignore-scripts', '--pack-destination', scratch], {
    cwd: inRoot(),
    onLine: (text) => /^npm (error|warn) /.test(text) || line.update(text),
  });
  const archive = fs.readdirSync(scratch).find((name) => name.endsWith('.tgz'));
  if (pack.code !== 0 || !archive) throw new Failure(`npm pack failed (${pack.reason}):\n${pack.output}`);
  line.update('unpacking');
  const tar = await run('tar', ['-xzf', archive, ...files.map((file) => `package/${file}`)], { cwd: scratch });
  if (tar.code !== 0) throw new Failure(`${spec} holds no ${files.join(', ')}: ${tar.output || tar.reason}`);
}
