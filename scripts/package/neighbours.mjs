// Checks with other native code in the process: another llama.cpp addon, and backend modules from GPU packages.
import fs from 'node:fs';
import path from 'node:path';
import { manifest, packageName } from '../gpu-package.mjs';
import { answers, doctor, fixture, installed, npmInstall, NotHere, succeed } from './place.mjs';

const rival = 'node-llama-cpp@3.22.1';

async function beside({ tarball }, first) {
  const { folder } = await installed(`beside-${first}`, tarball);
  const systems = { linux: 'linux', darwin: 'mac', win32: 'win' };
  const name = `${systems[process.platform]}-${process.arch}`;
  const binary = `@node-llama-cpp/${name === 'mac-arm64' ? 'mac-arm64-metal' : name}@${rival.split('@')[1]}`;
  // Without its optional packages, which are 600 MB of CUDA.
  await npmInstall(folder, [rival, binary], { flags: ['--ignore-scripts', '--omit=optional'] });
  return succeed(process.execPath, [path.join(folder, 'beside.mjs'), fixture, first], { cwd: folder });
}

/** An installed package with a stand-in for the CUDA package beside it. */
async function withModule(state, fill) {
  if (process.platform !== 'linux') throw new NotHere('the stand-in is made for Linux');
  const { folder } = await installed(`gpu-${fill.name}`, state.tarball);
  const module = 'libggml-cuda.so';
  const standIn = path.join(folder, 'node_modules', packageName('cuda'));
  fs.mkdirSync(standIn);
  const about = manifest('cuda', module);
  const prebuilds = path.join(folder, 'node_modules/llama-sessions/prebuilds', `linux-${process.arch}`);
  await fill({ file: path.join(standIn, module), about, prebuilds });
  fs.writeFileSync(path.join(standIn, 'package.json'), JSON.stringify(about));
  await answers(folder);
  const report = await doctor(folder);
  return /gpu package.*/.exec(report)?.[0].replace(/\s+/g, ' ') ?? 'none';
}

/** A module of our own making, from a line of C. */
async function compiled(file, source, flags = []) {
  const code = `${file}.c`;
  fs.writeFileSync(code, source);
  try {
    await succeed('cc', ['-shared', '-fPIC', '-o', file, code, ...flags], {});
  } catch (error) {
    throw new NotHere(`the stand-in takes a C compiler: ${error.message.split('\n')[0]}`);
  }
}

/** The plainest of our own CPU modules: it links to the tagged ggml as a GPU's does, from another folder. */
function used({ file, prebuilds }) {
  const own = process.arch === 'x64' ? 'libggml-cpu-x64.so' : 'libggml-cpu-armv8.0_1.so';
  fs.copyFileSync(path.join(prebuilds, own), file);
}

function otherVersion({ file, about, prebuilds }) {
  used({ file, prebuilds });
  about.llamaSessions.tree = '00000000';
}

async function lackingLibrary({ file }) {
  const library = path.join(path.dirname(file), 'libcudart.so.99');
  await compiled(library, 'int cuda_stand_in(void) { return 0; }', ['-Wl,-soname,libcudart.so.99']);
  await compiled(file, 'int cuda_stand_in(void); int use(void) { return cuda_stand_in(); }', [library]);
  fs.rmSync(library);
}

const noDriver = ({ file }) => compiled(file, 'void *ggml_backend_init(void) { return 0; }');
const noModule = ({ file }) => fs.writeFileSync(file, 'x');

const standIns = [
  ['is used', used, /: used$/],
  ['of another version', otherVersion, /not used, it was made for another version of llama-sessions/],
  ['a library is missing', lackingLibrary, /not used, libcudart\.so\.99: cannot open shared object file/],
  ['no driver', noDriver, /not used, .*returned NULL/],
  ['is no module', noModule, /not used, .*(file too short|invalid ELF)/],
];

export const checks = {
  'beside node-llama-cpp, we first': (state) => beside(state, 'ours'),
  'beside node-llama-cpp, it first': (state) => beside(state, 'theirs'),
  ...Object.fromEntries(
    standIns.map(([name, fill, expected]) => [
      `GPU package (stand-in): ${name}`,
      async (state) => {
        const line = await withModule(state, fill);
        if (!expected.test(line)) throw new Error(line);
        return line.replace(/^gpu package \S+ /, '').slice(0, 90);
      },
    ]),
  ),
};
