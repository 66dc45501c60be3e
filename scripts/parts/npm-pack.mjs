// Files out of a package on npm, without installing it: no script of its runs.
import fs from 'node:fs';
import { inRoot } from './files.mjs';
import { Failure, npm, run } from './process.mjs';

/**
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
