import { availableParallelism, totalmem } from 'node:os';
import { readFile } from './disk.js';

/**
 * How many compute threads to take. More than there are processors would come close to a hang: they spin at barriers for those that
 * wait for a processor.
 * @param asked 0: the physical cores
 */
export async function computeThreads(asked: number): Promise<number> {
  return asked === 0 ? physicalCores() : Math.min(asked, availableParallelism());
}

/**
 * Physical cores this process may use. Two compute threads on one core (SMT) get in each other's way: ggml's threads spin at
 * barriers.
 */
export async function physicalCores(): Promise<number> {
  const logical = availableParallelism();
  if (process.platform === 'linux') return Math.min(logical, (await linuxCores()) ?? logical);
  // x64 elsewhere mostly has two threads per core; arm64 has one.
  return process.arch === 'x64' ? Math.max(1, Math.floor(logical / 2)) : logical;
}

/** Bytes of memory this process may have: in a container fewer than the machine has. */
export function memoryBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

/** Distinct cores among the CPUs that the kernel lets us run on; undefined where it does not say. */
async function linuxCores(): Promise<number | undefined> {
  try {
    const status = await readFile('/proc/self/status', 'utf8');
    const allowed = parseCpuList(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? '');
    const siblings = allowed.map((cpu) =>
      readFile(`/sys/devices/system/cpu/cpu${String(cpu)}/topology/thread_siblings_list`, 'utf8'),
    );
    const cores = new Set(await Promise.all(siblings));
    return cores.size > 0 ? cores.size : undefined;
  } catch {
    return undefined;
  }
}

/** '0-2,5' → [0, 1, 2, 5] */
function parseCpuList(list: string): number[] {
  return list
    .split(',')
    .filter((range) => range !== '')
    .flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}
