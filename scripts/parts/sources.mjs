// llama.cpp's sources inside the published package: one file instead of 1,700, unpacked when an addon is compiled there.
// It takes neither git nor a network then. The same bytes for the same tree: sorted, without times, owners and umask.
import fs from 'node:fs';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { inRoot, megabytes, readJson, shown } from './files.mjs';
import { Failure, run } from './process.mjs';

const folder = inRoot('vendor/llama.cpp');
const archive = inRoot('vendor/llama.cpp.tar.gz');
const pin = () => readJson(inRoot('vendor/llama.cpp.json'));

/** What a build takes, of ggml the backends that somebody may want here. */
const wanted = [
  'CMakeLists.txt',
  'LICENSE',
  'AUTHORS',
  'licenses',
  'cmake',
  'include',
  'src',
  'common',
  'vendor',
  'ggml',
];
const unwanted = /^ggml\/src\/ggml-(?!cpu|cuda|hip|metal|blas|vulkan)[^/.]+\//;

/** Whether the sources come from the archive: in the published package, that is. */
export const arePacked = () => fs.existsSync(archive) && !fs.existsSync(path.join(folder, '.git'));

export async function packSources() {
  const listed = await run('git', [`--git-dir=${path.join(folder, '.git')}`, 'ls-files', '-z', ...wanted], {
    cwd: folder,
  });
  if (listed.code !== 0) throw new Failure(`git ls-files failed in ${shown(folder)}: ${listed.output}`);
  const files = listed.output.split('\0').filter((file) => file && !unwanted.test(file));
  const list = inRoot('build/sources.txt');
  const tar = inRoot('build/sources.tar');
  fs.mkdirSync(inRoot('build'), { recursive: true });
  fs.writeFileSync(list, files.sort().join('\n'));
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=u=rw,go=r,a+X'];
  const { code, output } = await run(
    'tar',
    ['--create', '--format=ustar', ...same, `--files-from=${list}`, `--file=${tar}`],
    {
      cwd: folder,
    },
  );
  if (code !== 0) throw new Failure(`${shown(archive)} takes GNU tar:\n${output}`);
  fs.writeFileSync(archive, gzipSync(fs.readFileSync(tar), { level: 9 }));
  fs.rmSync(tar);
  console.log(`${shown(archive)}: ${files.length} files, ${megabytes(fs.statSync(archive).size)}`);
}

export async function unpackSources() {
  const stamp = path.join(folder, 'unpacked');
  const { tree } = pin();
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === tree) return;
  const next = `${folder}.next`;
  const tar = `${folder}.tar`;
  fs.rmSync(next, { recursive: true, force: true });
  fs.mkdirSync(next, { recursive: true });
  fs.writeFileSync(tar, gunzipSync(fs.readFileSync(archive)));
  const { code, output } = await run('cmake', ['-E', 'tar', 'xf', tar], { cwd: next });
  fs.rmSync(tar);
  if (code !== 0) throw new Failure(`${shown(archive)} can't be unpacked:\n${output}`);
  fs.writeFileSync(path.join(next, 'unpacked'), tree);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.renameSync(next, folder);
}
