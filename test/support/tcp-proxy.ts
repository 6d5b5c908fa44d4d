import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

type Mode =
  /** All is passed on. */
  | "pass"
  /** Nothing is passed on, and nobody is told: a firewall that forgot the connection. */
  | "blackhole"
  /** New connections are refused. */
  | "refuse";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** Passes nothing on any more, like one connection that a firewall forgot. */
  isSilent: boolean;
  /** What the client has sent and the server has not got yet. Null while it gets all at once. */
  held: Buffer[] | null;
}

interface Watch {
  readonly text: string;
  /** Whether the message is kept back. */
  readonly holds?: boolean;
  readonly act: (pair: Pair) => void;
}

/** Stands between a runner and its server, and does what networks do. */
export class TcpProxy {
  /** Where new connections lead to. */
  target: URL;
  mode: Mode = "pass";
  /** Milliseconds by which every answer comes later. */
  delayMs = 0;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #watch: Watch | null = null;

  private constructor(target: URL) {
    this.target = target;
    this.#server = createServer((client) => this.#join(client));
  }

  /** `url` with the proxy before its server. The caller closes the proxy. */
  static async before(url: string): Promise<{ readonly proxy: TcpProxy; readonly url: string }> {
    const proxy = new TcpProxy(new URL(url));
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    const { port } = proxy.#server.address() as { port: number };
    const through = new URL(url);
    through.host = `127.0.0.1:${port}`;
    return { proxy, url: through.href };
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Ends the connections that `isMeant` says, all by default. Returns how many. */
  cut(isMeant = () => true): number {
    const pairs = [...this.#pairs].filter(isMeant);
    for (const pair of pairs) cutPair(pair);
    return pairs.length;
  }

  /** Silences the connections that `isMeant` says: they stay open, and pass nothing on. Returns how many. */
  silence(isMeant: () => boolean): number {
    const pairs = [...this.#pairs].filter(isMeant);
    for (const pair of pairs) pair.isSilent = true;
    return pairs.length;
  }

  /**
   * The next message of a client with this text reaches the server, which answers with `answer`. That reaches
   * nobody: the connection is cut. Resolves when that has happened.
   */
  cutAnswerTo(text: string, answer = "COMMIT"): Promise<void> {
    return new Promise((done) => {
      const act = (pair: Pair) => {
        pair.isSilent = true;
        pair.server.on("data", (data) => {
          if (!data.includes(answer)) return;
          cutPair(pair);
          this.#pairs.delete(pair);
          done();
        });
      };
      this.#watch = { text, act };
    });
  }

  /** Resolves when the next message of a client with this text was passed on to the server. */
  whenSent(text: string): Promise<void> {
    return new Promise((act) => {
      this.#watch = { text, act: () => act() };
    });
  }

  /**
   * Silences the connection of the next message of a client with this text, which reaches the server. Resolves
   * when that has happened.
   */
  silenceAfter(text: string): Promise<void> {
    return new Promise((done) => {
      const act = (pair: Pair) => {
        pair.isSilent = true;
        done();
      };
      this.#watch = { text, act };
    });
  }

  /**
   * Keeps back the next message of a client with this text, and what follows it on its connection, also when the
   * client gives up the connection: the kernel sends again what a network has lost. Resolves when the message has
   * come, with a function that passes all of it on, and that resolves when the server has closed the connection.
   */
  holdFrom(text: string): Promise<() => Promise<void>> {
    return new Promise((come) => {
      const act = (pair: Pair) => {
        const held: Buffer[] = [];
        pair.held = held;
        come(async () => {
          pair.isSilent = true;
          const closed = new Promise<void>((resolve) => pair.server.once("close", resolve));
          pair.server.resume();
          pair.server.end(Buffer.concat(held));
          await closed;
          this.#pairs.delete(pair);
        });
      };
      this.#watch = { text, act, holds: true };
    });
  }

  async close(): Promise<void> {
    this.mode = "pass";
    for (const { client, server } of this.#pairs) for (const end of [client, server]) end.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket): void {
    if (this.mode === "refuse") return void client.resetAndDestroy();
    const server = connect(Number(this.target.port), this.target.hostname);
    const pair: Pair = { client, server, isSilent: false, held: null };
    this.#pairs.add(pair);
    const isSilent = () => pair.isSilent || this.mode === "blackhole";
    let answered: Promise<void> = Promise.resolve();
    client.on("data", (data) => {
      if (isSilent()) return;
      const watch = this.#watch;
      const isWatched = watch?.text !== undefined && data.includes(watch.text);
      if (isWatched) this.#watch = null;
      if (isWatched && watch.holds === true) watch.act(pair);
      if (pair.held === null) server.write(data);
      else pair.held.push(data);
      if (isWatched && watch.holds !== true) watch.act(pair);
    });
    server.on("data", (data) => {
      const { delayMs } = this;
      if (isSilent()) return;
      // In order, also when the delay changes.
      answered = answered.then(async () => {
        if (delayMs > 0) await pause(delayMs);
        if (!isSilent()) client.write(data);
      });
    });
    for (const socket of [client, server]) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        // The other end hears nothing of it. It is ended with the rest.
        if (isSilent() || pair.held !== null) return;
        this.#pairs.delete(pair);
        for (const end of [client, server]) end.destroy();
      });
    }
  }
}

function cutPair({ client, server }: Pair): void {
  client.resetAndDestroy();
  server.destroy();
}
