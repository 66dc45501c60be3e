import { basename, dirname, join } from 'node:path';
import { addon, installedPackage } from './binding.js';
import { fromNative } from './errors.js';
import type { SystemInfo } from './native.js';

/** Packages that hold a backend for GPUs, and nothing else. Those for this platform are looked for, the best one first. */
const KINDS = ['cuda', 'vulkan'];

/** A GPU package for this platform. */
export interface GpuPackage {
  name: string;
  /** Why it is not used; undefined: it is. */
  refused: string | undefined;
}

let loading: Promise<GpuPackage[]> | undefined;

/**
 * Loads the backends, once: those that came with the addon, and those of GPU packages that are installed. One that can't be
 * used is no error: the CPU goes on.
 * @returns the GPU packages that are installed
 * @throws LlamaError BINDING_NOT_FOUND
 */
export function loadBackends(): Promise<GpuPackage[]> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined; // the next call may find it repaired
    throw error;
  });
  return loading;
}

async function load(): Promise<GpuPackage[]> {
  try {
    const { tree } = await systemInfo();
    const found = gpuPackageNames().flatMap((name) => find(name, tree));
    const usable = found.filter(({ refused }) => refused === undefined);
    const refusals = await addon().loadBackends(usable.map(({ module }) => module));
    usable.forEach((gpu, i) => (gpu.refused = plain(refusals[i] ?? '', gpu.module)));
    for (const { name, refused } of found) {
      // Who has installed it wants it to be used: silence would be the wrong answer.
      if (refused !== undefined) process.emitWarning(`${name} is not used, the CPU computes: ${refused}`);
    }
    return found.map(({ name, refused }) => ({ name, refused }));
  } catch (error) {
    throw fromNative(error);
  }
}

/** ggml's words without its function's name and the path, which the package's name says. Undefined: not refused. */
export function plain(refusal: string, module: string): string | undefined {
  if (refusal === '') return undefined;
  const words = refusal
    .replaceAll(`${module}: `, '')
    .replaceAll(module, basename(module))
    .replace(/^load_backend: failed to (load|initialize backend from)/, '')
    .trim();
  return words === '' ? 'a library that it needs is missing' : words; // on Windows ggml does not say why
}

/** What this process computes with, as far as it is loaded. */
export async function systemInfo(): Promise<SystemInfo> {
  return addon().system();
}

/** The names under which GPU packages for this platform are published. */
export function gpuPackageNames(): string[] {
  return KINDS.map((kind) => `llama-sessions-${kind}-${process.platform}-${process.arch}`);
}

/** @param tree of our llama.cpp: a module of another one would be linked to another ggml */
function find(name: string, tree: string): (GpuPackage & { module: string })[] {
  const installed = installedPackage(name);
  if (installed === undefined) return [];
  const { module, tree: theirs } = description(installed.content);
  if (module === undefined) return [{ name, module: '', refused: 'its package.json names no module' }];
  const refused =
    theirs === tree
      ? undefined
      : `it was made for another version of llama-sessions (llama.cpp ${theirs}, not ${tree})`;
  return [{ name, module: outsideAsar(join(dirname(installed.file), module)), refused }];
}

/**
 * A packaged Electron app resolves all packages to its archive, also those that `asarUnpack` has put beside it. Node's own functions
 * are patched to know; the system, which loads our module, is not.
 */
export function outsideAsar(file: string): string {
  return file.replace(/\.asar(?=[\\/])/, '.asar.unpacked');
}

function description(content: unknown): { module: string | undefined; tree: string } {
  const said = (content as { llamaSessions?: { module?: unknown; tree?: unknown } }).llamaSessions;
  const module = typeof said?.module === 'string' ? said.module : undefined;
  return { module, tree: String(said?.tree) };
}
