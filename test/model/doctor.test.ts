/** `npx llama-sessions doctor` on what is here: a source build. GPU packages are stand-ins, found by NODE_PATH. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { gpuPackageNames, systemInfo } from '../../lib/backends.js';
import { packageVersion } from '../../lib/binding.js';
import { ROOT, run, type Ending } from '../support/program.js';

const [cuda = ''] = gpuPackageNames();

function doctor(NODE_PATH = ''): Promise<Ending> {
  return run([`${ROOT}scripts/llama-sessions.mjs`, 'doctor'], { env: { NODE_PATH } });
}

/** A folder for NODE_PATH that has a GPU package in it. */
function withPackage(llamaSessions: object): string {
  const folder = mkdtempSync(join(tmpdir(), 'gpu-package-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
  });
  mkdirSync(join(folder, cuda), { recursive: true });
  writeFileSync(join(folder, cuda, 'package.json'), JSON.stringify({ name: cuda, version: '1.0.0', llamaSessions }));
  return folder;
}

test('the addon knows its versions, its backends and devices', async () => {
  const { tree, backends, llamaVersion, ggmlVersion } = await systemInfo();
  const pin = JSON.parse(readFileSync(join(ROOT, 'vendor/llama.cpp.json'), 'utf8')) as {
    tree: string;
    version: string;
  };
  expect(tree).toBe(pin.tree.slice(0, 8));
  expect(`v${llamaVersion}`).toContain(pin.version);
  expect(ggmlVersion).toMatch(/^\d+\.\d+\.\d+$/);
  const cpu = backends.find(({ name }) => name === 'CPU');
  expect(cpu?.file).toMatch(/\.(node|so|dylib|dll)$/);
  expect(cpu?.devices).toMatchObject([{ kind: 'cpu' }]);
  expect(cpu?.devices[0]?.totalBytes).toBeGreaterThan(0);
});

test('the doctor finds a source build in order', async () => {
  const { code, stdout, stderr } = await doctor();
  expect(stderr).toBe('');
  expect(stdout).toContain(`llama-sessions ${packageVersion()}, llama.cpp`);
  expect(stdout).toMatch(/^addon +build\/Release\/llama_sessions\.node, compiled here$/m);
  expect(stdout).toMatch(/^backend +CPU, /m);
  expect(code).toBe(0);
});

test.each([
  ['of another version', { module: 'libggml-cuda.so', tree: '00000000' }, /not used, it was made for another version/],
  ['that names no module', {}, /not used, its package\.json names no module/],
])('a GPU package %s is ignored, and the reason is said', async (_, about, reason) => {
  const { code, stdout } = await doctor(withPackage(about));
  expect(stdout).toMatch(reason);
  expect(stdout).toContain(`! ${cuda} is not used`);
  expect(code).toBe(0);
});

test('an addon with ggml inside takes no modules', async () => {
  const { tree } = await systemInfo();
  const { code, stdout } = await doctor(withPackage({ module: 'libggml-cuda.so', tree }));
  expect(stdout).toContain('not used, this addon was compiled from source with ggml inside, and takes no modules');
  expect(code).toBe(0);
});

test('other words get the usage', async () => {
  const { code, stdout } = await run([`${ROOT}scripts/llama-sessions.mjs`, 'docter']);
  expect(stdout).toContain('npx llama-sessions doctor');
  expect(code).toBe(1);
});
