import { chmodSync } from "node:fs";
import { Cluster } from "../../support/postgres-cluster.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import type { LoadProcess } from "../load-process.ts";
import type { LogRecord } from "../log.ts";
import type { Orders } from "../orders.ts";
import { Round } from "../round.ts";
import type { StoreSnapshot } from "../snapshot.ts";
import type { PostgresOrders } from "./orders.ts";
import { takeSnapshot } from "./take-snapshot.ts";

/** Processes that a round starts at most. */
const MAX_PROCESSES = 12;
/** The lease and the wait for an answer are to each other as their defaults. */
const LEASE_MS = 2400;
export const ANSWER_TIMEOUT_MS = 1600;
/** Reads are tried again as long as an answer is waited for: so long where servers fail, or connections again and again. */
export const PATIENCE_MS = 10_000;
/** How long a host may take to take over a thread whose holder fell silent in a transaction. */
export const TAKE_OVER_MS = 6000;
/** What a judge may need beside two leases until it has freed the threads of a dead host. */
const FREE_MS = 3000;

type Host = LoadProcess<PostgresOrders>;

/** A round on servers of its own. Each process reaches them through a proxy of its own. */
export class PostgresRound extends Round<PostgresOrders> {
  readonly cluster: Cluster;
  readonly #proxies: readonly TcpProxy[];
  readonly #urls: readonly string[];
  readonly #used = new Map<string, number>();

  private constructor(
    place: readonly [seed: number, number: number, directory: string],
    cluster: Cluster,
    proxies: readonly { readonly proxy: TcpProxy; readonly url: string }[],
  ) {
    super(...place);
    this.cluster = cluster;
    this.#proxies = proxies.map(({ proxy }) => proxy);
    this.#urls = proxies.map(({ url }) => url);
    this.onEnd(() => cluster.remove());
    for (const proxy of this.#proxies) this.onEnd(() => proxy.close());
  }

  static async open(...place: readonly [seed: number, number: number, directory: string]) {
    // The server runs as another user.
    chmodSync(place[2], 0o711);
    const cluster = await Cluster.start(place[2]);
    const { url } = cluster.primary;
    const proxies = Array.from({ length: MAX_PROCESSES }, () => TcpProxy.before(url));
    return new PostgresRound(place, cluster, await Promise.all(proxies));
  }

  takeSnapshot(): Promise<StoreSnapshot> {
    return takeSnapshot(this.cluster);
  }

  /** Starts hosts whose clients stop each other's runs. Resolves when each has completed some runs. */
  async startHosts(count: number, orders: Partial<PostgresOrders> = {}): Promise<Host[]> {
    const hosts = Array.from({ length: count }, (_, at) =>
      this.start(`host${at}`, { stopsOthers: true, ...orders }),
    );
    await Promise.all(hosts.map((host) => host.until("run", 3)));
    return hosts;
  }

  /** Resolves when the process has completed so many runs more. */
  async untilMoreRuns(host: Host, count: number): Promise<void> {
    const done = host.records().filter(({ what }) => what === "completed").length;
    await this.untilReached(host.until("run", done + count));
  }

  /** The proxy between a process and the server. */
  proxyOf({ name }: Pick<Host, "name">): TcpProxy {
    const proxy = this.#proxies[this.#used.get(name) ?? -1];
    if (proxy === undefined) throw new Error(`${name} has no proxy`);
    return proxy;
  }

  /** New connections of all processes lead to `url` from here on. */
  leadTo(url: string): void {
    for (const proxy of this.#proxies) proxy.target = new URL(url);
  }

  /** Notes the proof that a runner was hit: it has logged an error with one of `codes`. */
  proveTrouble(hosts: readonly Host[], codes: readonly string[]): void {
    const isHit = hosts.some((host) => host.records().some((record) => isTrouble(record, codes)));
    this.prove(isHit, `no host had ${codes.join(" or ")}`);
  }

  protected override ordersFor(common: Orders): PostgresOrders {
    const { name } = common;
    const at = this.#used.get(name) ?? this.#used.size;
    this.#used.set(name, at);
    const url = this.#urls[at];
    if (url === undefined) throw new Error(`expected at most ${MAX_PROCESSES} processes`);
    return {
      ...common,
      store: "postgres",
      leaseMs: LEASE_MS,
      connectionString: url,
      listenUrl: null,
      prepare: true,
      answerTimeoutMs: ANSWER_TIMEOUT_MS,
    };
  }

  protected override heldAfterDeathMs({ leaseMs }: PostgresOrders): number {
    return 2 * leaseMs + FREE_MS;
  }
}

function isTrouble(record: LogRecord, codes: readonly string[]): boolean {
  return record.what === "trouble" && codes.includes(record.code ?? "");
}
