// Makes a clone ready: dependencies, addon, dist/. Silent when all is fresh. Every npm script that runs something
// starts with it, so that each works as the first command typed. Imports nothing from node_modules: there may be none yet.
import { build, builtStamp, product } from './build.mjs';
import { compileLib, libSources, libStamp } from './compile-lib.mjs';
import { inRoot, modified, newest, root } from './parts/files.mjs';
import { entry, Failure, npm, run } from './parts/process.mjs';

const addonSources = [
  ...['native/binding', 'native/engine', 'native/index'],
  ...['native/aligned_work.h', 'native/huge_pages.c', 'native/compiler', 'native/compiler.cmake'],
  ...['CMakeLists.txt', 'package.json'],
  ...['vendor/llama.cpp.json', 'vendor/sqlite.json'],
].map((file) => inRoot(file));

export async function ready() {
  if (modified(inRoot('package-lock.json')) > modified(inRoot('node_modules/.package-lock.json'))) await install();
  if (!modified(product) || newest(...addonSources) > modified(builtStamp)) await build();
  if (!modified(inRoot('dist/index.js')) || newest(...libSources) > modified(libStamp)) await compileLib();
}

/** Its scripts build the addon and dist/ too, in the foreground: minutes of silence would look like a hang. */
async function install() {
  console.log('Setting up: npm ci, which also fetches and compiles llama.cpp (some minutes, once).');
  const [command, first] = npm();
  const args = ['ci', '--include=dev', '--foreground-scripts', '--no-audit', '--no-fund'];
  const { code, reason } = await run(command, [...first, ...args], { cwd: root, show: true });
  if (code !== 0) throw new Failure(`npm ci failed (${reason}); the cause is above.`);
}

await entry(import.meta, ready);
