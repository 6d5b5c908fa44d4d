import { connect, createServer, type Server, type Socket } from "node:net";

/** Leads each connection to the next of several servers, past those that take none. */
export class Balancer {
  readonly #server: Server;
  readonly #ports: readonly number[];
  readonly #clients = new Set<Socket>();
  #next = 0;

  private constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.#server = createServer((client) => this.#join(client, this.#ports.length));
  }

  /** Before servers on these ports of 127.0.0.1. The caller closes it. */
  static async before(ports: readonly number[]): Promise<Balancer> {
    const balancer = new Balancer(ports);
    await new Promise<void>((resolve) => balancer.#server.listen(0, "127.0.0.1", resolve));
    return balancer;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, tries: number): void {
    this.#clients.add(client);
    const port = this.#ports[this.#next++ % this.#ports.length] ?? 0;
    const server = connect(port, "127.0.0.1");
    let isConnected = false;
    server.once("connect", () => {
      isConnected = true;
      client.pipe(server).pipe(client);
    });
    server.on("error", () => {
      if (!isConnected && tries > 1) this.#join(client, tries - 1);
      else client.destroy();
    });
    client.on("error", () => server.destroy());
    client.once("close", () => {
      this.#clients.delete(client);
      server.destroy();
    });
  }
}
