import { basename } from 'node:path';
import type { Facts } from './facts.js';
import type { BackendInfo, DeviceInfo } from './native.js';

/** Something that is wrong, or could be better. */
export interface Finding {
  what: string;
  /** What to do about it. */
  remedy: string;
  /** The package does not work until this is done. */
  fatal: boolean;
}

/** Less is hardly enough for a model and its KV. */
const LITTLE_MEMORY = 1e9;

/** What the loader says of a library that wants a newer C or C++ library. */
const SYSTEM_TOO_OLD = /(GLIBC|GLIBCXX|CXXABI)_[\d.]+' not found/;

/** What is here, a line for each thing. */
export function describe(facts: Facts): string {
  const { computes } = facts;
  const llama = computes && `llama.cpp ${computes.llamaVersion} (tree ${computes.tree}), ggml ${computes.ggmlVersion}`;
  const rows: [string, string | undefined][] = [
    ['package', [`llama-sessions ${facts.version}`, llama].filter(Boolean).join(', ')],
    ['platform', [facts.platform, facts.libc, facts.system, facts.runtime].filter(Boolean).join(', ')],
    ['cpu', `${facts.cpu}, ${String(facts.cores)} physical cores for this process`],
    ['memory', `${gigabytes(facts.freeBytes)} free of ${gigabytes(facts.totalBytes)}`],
    ['addon', facts.addon === undefined ? 'none' : `${facts.addon}, ${origin(facts.addon)}`],
    ...(computes?.backends ?? []).map((backend): [string, string] => ['backend', backendLine(backend)]),
    ...(computes?.backends ?? []).flatMap(({ devices }) =>
      devices.map((device): [string, string] => ['device', deviceLine(device)]),
    ),
    ...facts.gpuPackages.map(({ name, refused }): [string, string] => [
      'gpu package',
      `${name}: ${refused === undefined ? 'used' : `not used, ${refused}`}`,
    ]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(12)}${value ?? ''}`).join('\n');
}

/** What is wrong and what to do about it, the worst first. */
export function diagnose(facts: Facts): Finding[] {
  const findings: Finding[] = [];
  if (facts.computes === undefined) findings.push(notLoaded(facts));
  for (const { name, refused } of facts.gpuPackages) {
    if (refused !== undefined)
      findings.push({ what: `${name} is not used: ${refused}`, remedy: gpuRemedy(name, refused), fatal: false });
  }
  if (facts.nvidia !== undefined && !hasGpu(facts) && facts.gpuPackages.length === 0)
    findings.push({
      what: `There is an NVIDIA driver (${facts.nvidia}), but nothing that uses it.`,
      remedy: `npm install ${facts.gpuPackageNames[0] ?? ''}`,
      fatal: false,
    });
  if (facts.freeBytes < LITTLE_MEMORY)
    findings.push({
      what: `Only ${gigabytes(facts.freeBytes)} of memory are free.`,
      remedy:
        'End other programs, raise the memory limit of the container, or use a smaller model and fewer contextTokens.',
      fatal: false,
    });
  return findings;
}

const hasGpu = ({ computes }: Facts): boolean =>
  computes?.backends.some(({ devices }) => devices.some(({ kind }) => kind !== 'cpu')) ?? false;

/** libggml-cpu-zen4.so: what follows the kind names the CPUs that the module is for. */
export function cpuVariant(backend: BackendInfo): string | undefined {
  return /ggml-cpu-(\w[\w.]*)\.(?:so|dll|dylib)$/.exec(basename(backend.file))?.[1];
}

function backendLine(backend: BackendInfo): string {
  const features = Object.entries(backend.features).map(([name, value]) => (value === '1' ? name : `${name}=${value}`));
  const variant = cpuVariant(backend);
  const what =
    variant === undefined ? `in ${basename(backend.file)}` : `variant ${variant} (${basename(backend.file)})`;
  return [`${backend.name}, ${what}`, features.join(' ')].filter(Boolean).join(': ');
}

/** A CPU's memory is the machine's, and has a line already. */
function deviceLine({ name, description, kind, freeBytes, totalBytes }: DeviceInfo): string {
  const memory = kind === 'cpu' ? '' : `, ${gigabytes(freeBytes)} free of ${gigabytes(totalBytes)}`;
  return `${name}: ${description}${memory}`;
}

function notLoaded({ failure, addon, libc, platform }: Facts): Finding {
  const reason = failure?.split('\n')[0] ?? 'unknown';
  return { what: `The addon does not work: ${reason}`, remedy: remedyFor(reason, addon, libc, platform), fatal: true };
}

function remedyFor(reason: string, addon: string | undefined, libc: string | undefined, platform: string): string {
  const build = 'compile it here: npx llama-sessions build';
  if (addon === undefined) {
    const which = libc === 'musl' ? `${platform} with musl` : platform;
    return `There is no prebuilt addon for ${which} in this package; ${build}`;
  }
  if (SYSTEM_TOO_OLD.test(reason))
    return `The system's libraries are older than the prebuilt addon needs. Use a newer system, or ${build}`;
  if (/version/.test(reason))
    return 'Files of two versions are mixed: delete node_modules, install again. In a clone: npm run compile';
  if (/ld-musl|ld-linux|invalid ELF|wrong ELF|not a valid Win32|incompatible architecture/.test(reason))
    return 'node_modules came from another machine: delete it and install here.';
  if (/specified module could not be found/.test(reason))
    return (
      'The addon lacks a library. Delete node_modules and install again; if that does not help, install the Microsoft Visual C++ ' +
      'Redistributable 2015-2022.'
    );
  if (/SIGILL/.test(reason)) return `This CPU lacks instructions that the addon was compiled for; ${build}`;
  return `Delete node_modules and install again; if that does not help, ${build}`;
}

function gpuRemedy(name: string, refused: string): string {
  if (/another version/.test(refused)) return `npm install ${name}@latest llama-sessions@latest`;
  if (SYSTEM_TOO_OLD.test(refused))
    return "The system's libraries are older than the package needs (docs/deploying.md says which). Use a newer system.";
  if (/libcuda\.so/.test(refused)) return 'Install the NVIDIA driver. In a container: run it with --gpus all.';
  if (/libcu(dart|blas)/.test(refused))
    return 'Install the CUDA runtime and cuBLAS of the version named above (from NVIDIA, or an nvidia/cuda:…-runtime image).';
  if (/library that it needs is missing/.test(refused))
    return "Install what the package's README names, and let PATH lead to its libraries.";
  if (/libvulkan/.test(refused)) return 'Install the Vulkan loader (Debian: libvulkan1) and a driver for the GPU.';
  if (/no device|returned NULL/.test(refused))
    return 'Check that the driver sees the GPU (nvidia-smi, vulkaninfo) and that this user may use it.';
  if (/compiled from source/.test(refused))
    return 'Delete build/ to use the prebuilt addon, or compile with LLAMA_SESSIONS_CMAKE="-DGGML_CUDA=ON".';
  return `Without it the CPU computes. To be rid of this: npm uninstall ${name}`;
}

const origin = (addon: string): string => (addon.startsWith('build') ? 'compiled here' : 'prebuilt');

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
