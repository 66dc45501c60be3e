// Checks of installing: what is in the package, and that it works without anything but Node.
import fs from 'node:fs';
import path from 'node:path';
import { sizeOf } from '../parts/files.mjs';
import { answers, doctor, fixture, installed, megabytesOf, NotHere, npmFile, place, succeed } from './place.mjs';
import { bestVariant } from './variant.mjs';

const platform = `${process.platform}-${process.arch}`;
const onMusl = process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime;
const mostSeconds = 10;
const mostBytes = 40e6;

export const checks = {
  async 'contents of the tarball'({ tarball }) {
    // By its name alone: to GNU's tar, which Git brings to Windows, what stands before a colon is another machine.
    const where = { cwd: path.dirname(tarball) };
    const files = (await succeed('tar', ['-tzf', path.basename(tarball)], where)).split(/\r?\n/);
    const needed = [
      'dist/index.js',
      'dist/index.cjs',
      'dist/index.d.ts',
      'dist/index.d.cts',
      'THIRD_PARTY_LICENSES',
      'LICENSE',
    ]
      .concat([
        'vendor/llama.cpp.tar.gz',
        'vendor/sqlite.tar.gz',
        'CMakeLists.txt',
        'binding.gyp',
        'README.md',
        'native/engine/engine.cpp',
      ])
      .filter((file) => !files.includes(`package/${file}`));
    if (needed.length > 0) throw new Error(`missing: ${needed.join(', ')}`);
    const strange = files.filter((file) => /^package\/(build|node_modules|test|bench|lib)\//.test(file));
    if (strange.length > 0) throw new Error(`should not be there: ${strange.slice(0, 5).join(', ')}`);
    return `${files.length} files, ${(fs.statSync(tarball).size / 1e6).toFixed(1)} MB packed`;
  },

  async 'npm install, nothing but Node on PATH, cold cache'(state) {
    const { folder, seconds } = await installed('bare', state.tarball, { cold: true });
    state.folder = folder;
    await answers(folder);
    if (seconds > mostSeconds) throw new Error(`${seconds.toFixed(1)} s`);
    return `${seconds.toFixed(1)} s, answers`;
  },

  async 'size on disk, this platform'({ folder }) {
    const own = path.join(folder, 'node_modules/llama-sessions');
    const prebuilds = path.join(own, 'prebuilds');
    const files = fs.readdirSync(prebuilds, { recursive: true }).filter((name) => isForOthers(name));
    const sizes = files.map((name) => fs.statSync(path.join(prebuilds, name))).filter((stat) => stat.isFile());
    const bytes = sizeOf(own) - sizes.reduce((sum, { size }) => sum + size, 0);
    if (bytes > mostBytes) throw new Error(`${bytes} bytes`);
    return `package ${(bytes / 1e6).toFixed(1)} MB, all of node_modules ${megabytesOf(path.join(folder, 'node_modules'))}`;
  },

  async 'a path with spaces and é, ü, 日'({ tarball }) {
    const { folder } = await installed('a path/with é ü 日', tarball);
    await answers(folder);
    return path.basename(folder);
  },

  async 'npm install --ignore-scripts'({ tarball }) {
    const { folder } = await installed('no-scripts', tarball, { flags: ['--ignore-scripts'] });
    return answers(folder);
  },

  'in a worker': ({ folder }) => answers(folder, { more: ['worker'] }),

  'require(), and one copy with import': ({ folder }) => answers(folder, { file: 'answers.cjs' }),

  async 'the best variant for this CPU'({ folder }) {
    if (platform !== 'linux-x64') throw new NotHere("the second opinion is from Linux's /proc/cpuinfo on x64");
    const report = await doctor(folder);
    const [, chosen] = /variant (\S+)/.exec(report) ?? [];
    const best = bestVariant();
    if (chosen !== best) throw new Error(`doctor says ${chosen}, /proc/cpuinfo allows ${best}\n${report}`);
    return `${chosen}, as /proc/cpuinfo says`;
  },

  async 'pnpm 10'({ tarball }) {
    const folder = place('pnpm');
    await npx('pnpm@10', ['add', tarball], folder);
    await answers(folder);
    const version = await npx('pnpm@10', ['--version'], folder);
    return `pnpm ${version.trim().split('\n').at(-1)}, its scripts blocked`;
  },

  async 'npm 12, which blocks install scripts'({ tarball }) {
    const folder = place('npm12');
    const version = await npx('npm@12', ['--version'], folder);
    await npx('npm@12', ['install', tarball], folder);
    await answers(folder);
    return `npm ${version.trim().split('\n').at(-1)}`;
  },

  async 'yarn 1'({ tarball }) {
    const folder = yarnPlace('yarn-1');
    const cache = path.join(folder, '.cache'); // yarn 1 knows a tarball by its name
    await npx('yarn@1', ['add', tarball, '--ignore-scripts', '--cache-folder', cache], folder);
    return answers(folder);
  },

  async "yarn 4, Plug'n'Play, scripts off"({ tarball }) {
    const folder = yarnPlace('yarn-4');
    fs.writeFileSync(path.join(folder, 'yarn.lock'), ''); // else it belongs to a project further up
    fs.writeFileSync(path.join(folder, '.yarnrc.yml'), 'enableScripts: false\nenableTelemetry: false\n');
    fs.copyFileSync(tarball, path.join(folder, 'package.tgz'));
    await npx('@yarnpkg/cli-dist@4', ['add', 'llama-sessions@file:./package.tgz'], folder);
    for (const file of ['answers.mjs', 'answers.cjs']) {
      const output = await npx('@yarnpkg/cli-dist@4', ['node', file, fixture], folder);
      if (!output.includes('Your name is Ada.')) throw new Error(output);
    }
    return 'import and require() answer';
  },

  async publint({ tarball }) {
    const output = await npx('publint@0.3', [tarball, '--strict'], place('publint'));
    return output.trim().split('\n').at(-1);
  },

  async 'are the types wrong? (attw)'({ tarball }) {
    await npx('@arethetypeswrong/cli@0.18', [tarball, '--no-color'], place('attw'));
    return 'no problem in node10, node16 (CJS, ESM), bundler';
  },
};

/**
 * Whether this machine has no use for a file below prebuilds/: it is of another platform, or for Linux's other C library. musl's are
 * in a folder, all but the addon; glibc's are not.
 */
export function isForOthers(file, here = platform, musl = onMusl) {
  const [folder, ...parts] = file.split(/[\\/]/);
  if (folder !== here) return true;
  if (!here.startsWith('linux')) return false;
  const isMusl = parts[0] === 'musl' || /\.musl\.node$/.test(file);
  return parts.length > 0 && isMusl !== musl;
}

/** Yarn wants a package to install into. */
function yarnPlace(name) {
  const folder = place(name);
  fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
  return folder;
}

async function npx(what, args, folder) {
  const [name] = /^@?[^@]+/.exec(what);
  const bin = { '@arethetypeswrong/cli': 'attw', '@yarnpkg/cli-dist': 'yarn' }[name] ?? name;
  return succeed(process.execPath, [npmFile(), 'exec', '--yes', `--package=${what}`, '--', bin, ...args], {
    cwd: folder,
  });
}
