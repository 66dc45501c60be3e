import { existsSync, readFileSync } from 'node:fs';
import { cpus, freemem, release } from 'node:os';
import { relative } from 'node:path';
import { gpuPackageNames, loadBackends, systemInfo, type GpuPackage } from './backends.js';
import { addon, addonFile, packageRoot, packageVersion } from './binding.js';
import { messageOf } from './errors.js';
import type { SystemInfo } from './native.js';
import { memoryBytes, physicalCores } from './threads.js';

/** What `llama-sessions doctor` looks at. Plain data: it crosses a process border, for a wrong binary may end its process. */
export interface Facts {
  version: string;
  root: string;
  /** 'linux-x64' … */
  platform: string;
  system: string;
  /** 'glibc 2.36', 'musl'; undefined elsewhere than on Linux. */
  libc: string | undefined;
  /** 'Node 20.20.2' … */
  runtime: string;
  cpu: string;
  cores: number;
  totalBytes: number;
  freeBytes: number;
  /** An NVIDIA driver, as it names itself. */
  nvidia: string | undefined;
  /** Relative to the package's root. */
  addon: string | undefined;
  /** Why there is no usable addon. */
  failure: string | undefined;
  computes: SystemInfo | undefined;
  gpuPackages: GpuPackage[];
  gpuPackageNames: string[];
}

/** What can be told without loading the addon. */
export async function outerFacts(): Promise<Facts> {
  const facts: Facts = {
    version: packageVersion(),
    root: packageRoot,
    platform: `${process.platform}-${process.arch}`,
    system: `${process.platform} ${release()}`,
    libc: libc(),
    runtime: runtime(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: await physicalCores(),
    totalBytes: memoryBytes(),
    freeBytes: Math.min(freemem(), process.availableMemory()),
    nvidia: firstLine('/proc/driver/nvidia/version'),
    addon: undefined,
    failure: undefined,
    computes: undefined,
    gpuPackages: [],
    gpuPackageNames: gpuPackageNames(),
  };
  try {
    facts.addon = relative(packageRoot, addonFile());
  } catch (error) {
    facts.failure = messageOf(error);
  }
  return facts;
}

/** Everything. Never rejects because of what it finds. */
export async function allFacts(): Promise<Facts> {
  const facts = await outerFacts();
  try {
    if (facts.addon === undefined) return facts;
    addon();
    facts.gpuPackages = await loadBackends();
    facts.computes = await systemInfo();
  } catch (error) {
    facts.failure = messageOf(error);
  }
  return facts;
}

function libc(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime === undefined ? 'musl' : `glibc ${header.glibcVersionRuntime}`;
}

function runtime(): string {
  const { bun, electron, node } = process.versions;
  if (bun !== undefined) return `Bun ${bun}`;
  return electron === undefined ? `Node ${node}` : `Electron ${electron}`;
}

function firstLine(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n')[0] : undefined;
}
