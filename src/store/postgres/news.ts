import { setTimeout as delay } from "node:timers/promises";
import type { RunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import type { Statements } from "./statements.ts";

/** Milliseconds in which news gather. A notification for each commit would cost most of the throughput. */
const GATHER_MS = 10;
/** Milliseconds that the own first notification may take. After that, LISTEN does not work. */
const SELF_TEST_MS = 2000;
/** Milliseconds between two looks where LISTEN does not work, while somebody waits. */
const POLL_MS = 100;
/** Instances that one notification names at most: PostgreSQL takes 8000 bytes. */
const MAX_NAMED = 100;
/** Stands for all instances. */
const EVERYBODY = "*";

/** The payload of a notification: who has written, and whose runs were asked to stop. */
interface News {
  readonly from: string;
  readonly stop: readonly string[];
  /** The sender has come or gone. */
  readonly hello?: boolean;
}

export interface NewsOptions {
  /** For LISTEN. */
  readonly connection: Omit<ConnectionOptions, "onNotification" | "onLost">;
  /** For NOTIFY. */
  readonly notifier: Connection;
  readonly statements: Statements;
  readonly schema: string;
  readonly instanceId: string;
  readonly logger: Logger;
  /** Another instance has written. */
  readonly onNews: (news: { readonly isStop: boolean; readonly isHello: boolean }) => void;
}

/**
 * Tells the other instances that this one has written, and hears it of them, by LISTEN on a connection
 * of its own. A pooler may drop a LISTEN without a word: the first notification, to itself, shows whether it
 * works. Where it does not, this instance looks from time to time.
 */
export class NewsChannel {
  readonly #options: NewsOptions;
  readonly #channel: string;
  readonly #connection: Connection;
  readonly #stops = new Set<string>();
  #isGathering = false;
  #isHeard: (() => void) | null = null;
  #poll: NodeJS.Timeout | null = null;
  #isListening = false;
  #isWanted = false;
  #ended = false;

  constructor(options: NewsOptions) {
    this.#options = options;
    this.#channel = `dar_${options.schema}`;
    this.#connection = new Connection({
      ...options.connection,
      onNotification: ({ payload = "" }) => this.#hear(payload),
      onLost: () => void this.#listenAgain(),
    });
  }

  async open(): Promise<void> {
    await this.#listen();
  }

  /** Others are told within some milliseconds. */
  tell(stopped: readonly string[]): void {
    for (const id of stopped) this.#stops.add(id);
    if (this.#isGathering || this.#ended) return;
    this.#isGathering = true;
    setTimeout(() => void this.#tell(), GATHER_MS);
  }

  /** Somebody waits for other instances: without LISTEN, this instance begins to look. */
  watch(): void {
    this.#isWanted = true;
    this.#pollIfNeeded();
  }

  /** Finds out whether the connection that listens is half open: it sends nothing by itself. */
  async check(): Promise<void> {
    if (!this.#isListening) return;
    await this.#connection.use((send) => send({ name: "", text: "SELECT 1" }));
  }

  /** This instance goes: others look at once at what it held. */
  async sayGoodbye(): Promise<void> {
    await this.#send({ hello: true });
  }

  async end(): Promise<void> {
    this.#ended = true;
    if (this.#poll !== null) clearInterval(this.#poll);
    await this.#connection.end();
  }

  async #listen(): Promise<void> {
    const heard = new Promise<true>((resolve) => {
      this.#isHeard = () => resolve(true);
    });
    await this.#connection.use((send) => send({ name: "", text: `LISTEN ${this.#channel}` }));
    await this.#send({ hello: true });
    void this.#judge(heard);
  }

  /** Until the first notification has come, and if it does not come, this instance looks. */
  async #judge(heard: Promise<true>): Promise<void> {
    // Also when it comes late: the server, or this process, was slow, and there is no pooler between.
    void heard.then(() => {
      this.#isListening = true;
      this.#pollIfNeeded();
    });
    const late = delay(SELF_TEST_MS, false, { ref: false });
    if ((await Promise.race([heard, late])) || this.#ended) return;
    this.#pollIfNeeded();
    this.#options.logger.warn(
      {},
      "PostgreSQL's LISTEN does not work on this connection, probably because of a pooler; runs of other hosts are looked for every 100 ms. Give listenUrl, a direct connection",
    );
  }

  async #listenAgain(): Promise<void> {
    this.#isListening = false;
    this.#pollIfNeeded();
    for (let wait = 100; !this.#ended; wait = Math.min(2 * wait, 5000)) {
      try {
        await this.#listen();
        // Something may have been said meanwhile.
        this.#options.onNews({ isStop: true, isHello: true });
        return;
      } catch (err) {
        this.#options.logger.debug({ err }, "cannot listen to PostgreSQL; it is tried again");
        await delay(wait, undefined, { ref: false });
      }
    }
  }

  #pollIfNeeded(): void {
    const isNeeded = !this.#isListening && this.#isWanted && !this.#ended;
    if (!isNeeded && this.#poll !== null) {
      clearInterval(this.#poll);
      this.#poll = null;
    } else if (isNeeded && this.#poll === null) {
      const look = () => this.#options.onNews({ isStop: true, isHello: false });
      this.#poll = setInterval(look, POLL_MS);
      this.#poll.unref();
    }
  }

  async #tell(): Promise<void> {
    this.#isGathering = false;
    if (this.#ended) return;
    const stop = this.#stops.size > MAX_NAMED ? [EVERYBODY] : [...this.#stops];
    this.#stops.clear();
    try {
      await this.#send({ stop });
    } catch (err) {
      for (const id of stop) this.#stops.add(id);
      this.#options.logger.debug({ err: err as RunStoreError }, "a notification was not sent");
    }
  }

  /** A pooler passes on what a session tells itself, so this is sent over another connection. */
  async #send(news: Partial<News>): Promise<void> {
    const { statements, instanceId: from, notifier } = this.#options;
    const payload = JSON.stringify({ from, stop: [], ...news });
    await notifier.use((send) => send(statements.notify, [this.#channel, payload]));
  }

  #hear(payload: string): void {
    const { instanceId, onNews } = this.#options;
    const { from, stop = [], hello = false } = parseNews(payload);
    if (from === instanceId) this.#isHeard?.();
    else onNews({ isStop: stop.includes(instanceId) || stop.includes(EVERYBODY), isHello: hello });
  }
}

/** Another program may use the channel. */
function parseNews(payload: string): Partial<News> {
  try {
    const value: unknown = JSON.parse(payload);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
