/** A Redis server of the tests' own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createClient, createClientPool, createCluster, RESP_TYPES } from 'redis';
import type { RedisClient } from '../../lib/stores/redisserver.js';

/** A connection, and how to end it. */
export type Connection = RedisClient & { close(): unknown; destroy(): void };

export class RedisProcess {
  readonly #directory = mkdtempSync(join(tmpdir(), 'redis-'));
  /** A socket in a directory of its own: no port is anybody else's. */
  readonly path = join(this.#directory, 'socket');
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  /** @param args of redis-server, in addition */
  constructor(...args: string[]) {
    this.#args = args;
  }

  /** Starts it, again on what it has written if it was killed. */
  async start(): Promise<this> {
    const own = ['--port', '0', '--unixsocket', this.path, '--dir', this.#directory, '--save', ''];
    const child = spawn('redis-server', [...own, ...this.#args], { stdio: 'ignore' });
    this.#child = child;
    await once(child, 'spawn').catch((error: unknown) => {
      const why = 'redis-server is missing, and the tests of RedisStore need it: apt-get install redis-server';
      throw new Error(why, { cause: error });
    });
    while (!(await this.#answers())) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${String(child.exitCode)}.`);
      await pause(20);
    }
    return this;
  }

  /** As a power cut: what it has not written is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Stops answering, or goes on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  async stop(): Promise<void> {
    this.signal('SIGCONT');
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** @param path of a proxy */
  async client(path: string = this.path) {
    return quiet(createClient({ socket: { path, reconnectStrategy: 20 } })).connect();
  }

  /** It must have been started with this port, as a cluster. */
  async cluster(port: number) {
    const cluster = createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port } }] });
    return quiet(cluster).connect();
  }

  async pool() {
    const pool = quiet(createClientPool({ socket: { path: this.path, tls: false } }, { minimum: 2, maximum: 4 }));
    await pool.connect();
    return pool;
  }

  /** Runs a command; strings of its answer are Buffers. */
  async command(...args: (string | Buffer)[]): Promise<unknown> {
    const client = await this.client();
    try {
      return await client.sendCommand(args, { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } });
    } finally {
      client.destroy();
    }
  }

  /** All keys, or those with this in their names. */
  async keys(part: string = ''): Promise<Buffer[]> {
    return ((await this.command('KEYS', '*')) as Buffer[]).filter((key) => key.includes(part));
  }

  async #answers(): Promise<boolean> {
    const client = quiet(createClient({ socket: { path: this.path, reconnectStrategy: false } }));
    try {
      await client.connect();
      return (await client.ping()) === 'PONG';
    } catch {
      return false;
    } finally {
      if (client.isOpen) client.destroy();
    }
  }
}

/** A port that was free just now. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

export function portArgs(port: number): string[] {
  return ['--port', String(port), '--bind', '127.0.0.1'];
}

/** What makes a server a node of a cluster. @param bus the port on which nodes talk to each other */
export function clusterArgs(port: number, bus: number): string[] {
  return [...portArgs(port), '--cluster-enabled', 'yes', '--cluster-port', String(bus)];
}

/** A client without a listener would end the process when the server goes away. */
function quiet<T extends { on(event: 'error', listener: () => void): unknown }>(client: T): T {
  client.on('error', () => undefined);
  return client;
}
