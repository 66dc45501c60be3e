// The sources of llama.cpp and SQLite inside the published package: a file each instead of 1,700, unpacked when an addon is compiled there.
// It takes neither git nor a network then. The same bytes for the same tree: sorted, without times, owners and umask.
import fs from 'node:fs';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { inRoot, megabytes, readJson, shown } from './files.mjs';
import { Failure, run } from './process.mjs';
import { tarOf } from './tar.mjs';

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

/** `identity`: what is unpacked; `files`: those of it that are packed. */
const bundles = [
  { ...at('llama.cpp'), identity: ({ tree }) => tree, files: filesOfLlama },
  { ...at('sqlite'), identity: ({ version }) => version, files: ({ sha256 }) => Object.keys(sha256) },
];

function at(name) {
  const folder = inRoot('vendor', name);
  return { folder, archive: `${folder}.tar.gz`, pin: () => readJson(`${folder}.json`) };
}

async function filesOfLlama() {
  const { folder } = at('llama.cpp');
  const listed = await run('git', [`--git-dir=${path.join(folder, '.git')}`, 'ls-files', '-z', ...wanted], {
    cwd: folder,
  });
  if (listed.code !== 0) throw new Failure(`git ls-files failed in ${shown(folder)}: ${listed.output}`);
  return listed.output.split('\0').filter((file) => file && !unwanted.test(file));
}

/** Whether the sources come from archives: in the published package, that is. */
export const arePacked = () =>
  !fs.existsSync(inRoot('vendor/llama.cpp/.git')) && bundles.every(({ archive }) => fs.existsSync(archive));

export async function packSources() {
  for (const bundle of bundles) await pack(bundle);
}

async function pack({ folder, archive, pin, files }) {
  const packed = (await files(pin())).sort();
  fs.writeFileSync(archive, gzipSync(tarOf(folder, packed), { level: 9 }));
  console.log(`${shown(archive)}: ${packed.length} files, ${megabytes(fs.statSync(archive).size)}`);
}

export async function unpackSources() {
  for (const bundle of bundles) await unpack(bundle);
}

async function unpack({ folder, archive, pin, identity }) {
  const stamp = path.join(folder, 'unpacked');
  const whole = identity(pin());
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === whole) return;
  const next = `${folder}.next`;
  const tar = `${folder}.tar`;
  fs.rmSync(next, { recursive: true, force: true });
  fs.mkdirSync(next, { recursive: true });
  fs.writeFileSync(tar, gunzipSync(fs.readFileSync(archive)));
  const { code, output } = await run('cmake', ['-E', 'tar', 'xf', tar], { cwd: next });
  fs.rmSync(tar);
  if (code !== 0) throw new Failure(`${shown(archive)} can't be unpacked:\n${output}`);
  fs.writeFileSync(path.join(next, 'unpacked'), whole);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.renameSync(next, folder);
}
