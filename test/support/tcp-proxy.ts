import { connect, createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";

type Mode =
  /** All is passed on. */
  | "pass"
  /** Nothing is passed on, and nobody is told: a firewall that forgot the connection. */
  | "blackhole"
  /** New connections are refused. */
  | "refuse";

/** Stands between a runner and its server, and does what networks do. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [client: Socket, server: Socket]>();
  #mode: Mode = "pass";
  #cutAfter: { readonly text: string; readonly done: () => void } | null = null;

  private constructor(target: URL) {
    this.#server = createServer((client) => this.#join(client, target));
  }

  /** `url` with the proxy before its server. */
  static async before(url: string): Promise<{ readonly proxy: TcpProxy; readonly url: string }> {
    const target = new URL(url);
    const proxy = new TcpProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => proxy.#close());
    const { port } = proxy.#server.address() as { port: number };
    const through = new URL(url);
    through.host = `127.0.0.1:${port}`;
    return { proxy, url: through.href };
  }

  set mode(mode: Mode) {
    this.#mode = mode;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Ends all connections. */
  cut(): void {
    for (const [client, server] of this.#pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /**
   * The next message of a client with this text reaches the server, and its answer reaches nobody: the
   * connection is cut. Resolves when that has happened.
   */
  cutAnswerTo(text: string): Promise<void> {
    return new Promise((done) => {
      this.#cutAfter = { text, done };
    });
  }

  #join(client: Socket, target: URL): void {
    if (this.#mode === "refuse") return void client.resetAndDestroy();
    const server = connect(Number(target.port), target.hostname);
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    let cutWithAnswer: (() => void) | null = null;
    client.on("data", (data) => {
      if (this.#mode === "blackhole") return;
      if (this.#cutAfter !== null && data.includes(this.#cutAfter.text)) {
        cutWithAnswer = this.#cutAfter.done;
        this.#cutAfter = null;
      }
      server.write(data);
    });
    server.on("data", (data) => {
      if (this.#mode === "blackhole") return;
      if (cutWithAnswer === null) return void client.write(data);
      client.resetAndDestroy();
      server.destroy();
      cutWithAnswer();
    });
    for (const socket of pair) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        // The other end hears nothing of it. It is ended with the rest.
        if (this.#mode === "blackhole") return;
        this.#pairs.delete(pair);
        for (const end of pair) end.destroy();
      });
    }
  }

  #close(): Promise<void> {
    this.#mode = "pass";
    for (const pair of this.#pairs) for (const end of pair) end.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
