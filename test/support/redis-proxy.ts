import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

/** Stands between clients and a server, and loses what it is told to lose. */
export class LossyProxy {
  readonly path: string;
  /** Answers that are lost yet, each with its connection. */
  answersToLose = 0;
  readonly #server: Server;

  private constructor(path: string, upstream: string) {
    this.path = path;
    this.#server = createServer((client: Socket) => {
      const server = connect(upstream);
      const end = (): void => {
        client.destroy();
        server.destroy();
      };
      for (const each of [client, server]) each.on('error', end).on('close', end);
      client.on('data', (data) => server.write(data));
      server.on('data', (data) => {
        if (this.answersToLose === 0) return client.write(data);
        this.answersToLose--;
        return end();
      });
    });
  }

  static async open(upstream: string): Promise<LossyProxy> {
    const proxy = new LossyProxy(`${upstream}.proxy`, upstream);
    proxy.#server.listen(proxy.path);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  close(): void {
    this.#server.close();
  }
}
