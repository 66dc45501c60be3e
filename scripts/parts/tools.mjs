// Is what a build needs there? If not: what is missing, and the command that installs it on this system.
import fs from 'node:fs';
import path from 'node:path';
import { Failure, run } from './process.mjs';

const tools = {
  git: { name: 'git', found: () => answers('git') },
  cmake: { name: 'CMake 3.19 or newer', found: cmakeIsNew },
  compiler: {
    name: 'a C++17 compiler (g++ or clang++ on PATH, or another one that CC and CXX name)',
    found: () => process.platform === 'win32' || namedCompilers() !== null || onPath('g++') || onPath('clang++'),
  },
  make: { name: 'make or ninja', found: () => process.platform === 'win32' || onPath('ninja') || onPath('make') },
};

const installers = [
  {
    command: 'apt-get',
    line: 'apt-get install',
    git: 'git',
    cmake: 'cmake',
    compiler: 'build-essential',
    make: 'build-essential',
  },
  { command: 'dnf', line: 'dnf install', git: 'git', cmake: 'cmake', compiler: 'gcc-c++', make: 'make' },
  { command: 'apk', line: 'apk add', git: 'git', cmake: 'cmake', compiler: 'build-base', make: 'build-base' },
  { command: 'pacman', line: 'pacman -S', git: 'git', cmake: 'cmake', compiler: 'base-devel', make: 'base-devel' },
  { command: 'brew', line: 'brew install', git: 'git', cmake: 'cmake', compiler: 'llvm', make: 'ninja' },
  {
    command: 'winget',
    line: 'winget install',
    git: 'Git.Git',
    cmake: 'Kitware.CMake',
    compiler: 'Microsoft.VisualStudio.2022.BuildTools',
    make: 'Ninja-build.Ninja',
  },
];

/** Those of the environment. Null unless it names both: with one alone cmake-js still wants g++ or clang++ on PATH. */
export function namedCompilers() {
  const { CC, CXX } = process.env;
  return CC && CXX ? { cCompilerPath: CC, cppCompilerPath: CXX } : null;
}

/** @param {...('git' | 'cmake' | 'compiler' | 'make')} wanted */
export async function requireTools(...wanted) {
  const found = await Promise.all(wanted.map((key) => tools[key].found()));
  const missing = wanted.filter((_, i) => !found[i]);
  if (missing.length === 0) return;
  throw new Failure(
    `Missing to build llama-sessions from source: ${missing.map((key) => tools[key].name).join(', ')}.\n` +
      `To install: ${installCommand(missing)}\nThen run the same command again.`,
  );
}

function installCommand(missing) {
  if (process.platform === 'darwin' && missing.some((key) => key !== 'cmake')) {
    const rest = missing.includes('cmake') ? ' && brew install cmake' : '';
    return `xcode-select --install${rest}`;
  }
  const installer = installers.find(({ command }) => onPath(command)) ?? installers[0];
  const sudo = process.getuid?.() === 0 || ['brew', 'winget'].includes(installer.command) ? '' : 'sudo ';
  return `${sudo}${installer.line} ${[...new Set(missing.map((key) => installer[key]))].join(' ')}`;
}

function onPath(command) {
  const ends = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean);
  return folders.some((folder) => ends.some((end) => fs.existsSync(path.join(folder, command + end))));
}

async function answers(command) {
  return (await run(command, ['--version'])).code === 0;
}

async function cmakeIsNew() {
  const [, major, minor] = /version (\d+)\.(\d+)/.exec((await run('cmake', ['--version'])).output) ?? [];
  return Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 19);
}
