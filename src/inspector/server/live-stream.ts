import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay, setImmediate as nextTask } from "node:timers/promises";
import type { HeldThread, StoreAgentRunner } from "../../index.ts";
import type { EventItem, LiveMessages } from "../api.ts";
import { SAFE_HEADERS } from "./access.ts";
import { bodyOf, refusalOf } from "./refusal.ts";
import { itemOf, type RunFeed } from "./run-feed.ts";
import type { RunReader } from "./run-reader.ts";

/** Milliseconds between two looks at the thread. */
const LOOK_MS = 300;
/** Milliseconds after a failure. */
const RETRY_MS = 2000;
/** Milliseconds between two signs of life. */
const PING_MS = 15_000;
/** Events, and bytes of them, in one message. */
const MAX_ITEMS = 200;
const MAX_BYTES = 256 * 1024;

export interface LiveStreamOptions {
  readonly runner: StoreAgentRunner;
  readonly read: RunReader;
  readonly threadId: string;
  /** Aborted when the server is closed. */
  readonly signal: AbortSignal;
}

/** The last event that a page has got. */
interface Position {
  readonly epoch: number;
  readonly next: number;
}

/** Tells one page what happens on a thread, until the page is closed: see `LiveMessages`. */
export class LiveStream {
  readonly #options: LiveStreamOptions;
  readonly #response: ServerResponse;
  readonly #signal: AbortSignal;
  #position: Position | null;
  /** The last `thread` message. */
  #told = "";
  #pingAt = performance.now() + PING_MS;
  /** The run that is followed, until its end is told. */
  #following: { readonly epoch: number; readonly over: Promise<void> } | null = null;

  constructor(options: LiveStreamOptions, request: IncomingMessage, response: ServerResponse) {
    this.#options = options;
    this.#response = response;
    const closed = new AbortController();
    response.once("close", () => closed.abort());
    this.#signal = AbortSignal.any([options.signal, closed.signal]);
    this.#position = positionOf(request.headers["last-event-id"]);
  }

  async run(): Promise<void> {
    this.#response.writeHead(200, { ...SAFE_HEADERS, "content-type": "text/event-stream" });
    while (!this.#signal.aborted) {
      let waitMs = LOOK_MS;
      try {
        await this.#look();
      } catch (error) {
        await this.#send("failure", bodyOf(refusalOf(error)).error);
        waitMs = RETRY_MS;
      }
      if (performance.now() > this.#pingAt) await this.#write(": still there\n\n");
      await delay(waitMs, undefined, { signal: this.#signal }).catch(() => undefined);
    }
    this.#response.end();
  }

  async #look(): Promise<void> {
    const { runner, read, threadId } = this.#options;
    const [thread, live] = await Promise.all([runner.threads.get(threadId), read.holder(threadId)]);
    const message: LiveMessages["thread"] = { thread, live };
    const text = JSON.stringify(message);
    if (text !== this.#told) await this.#send("thread", message);
    this.#told = text;
    if (live === null || !live.isAlive) return;
    if (this.#following?.epoch === live.epoch) {
      // While the page reads on, the run is not forgotten.
      read.follow(threadId, live);
      return;
    }
    // A run begins behind the end of the one before.
    await this.#following?.over;
    this.#follow(live);
  }

  #follow(live: HeldThread): void {
    const { read, threadId } = this.#options;
    const feed = read.follow(threadId, live);
    const over = this.#tell(live, feed).catch(async (error: unknown) => {
      await this.#send("failure", bodyOf(refusalOf(error)).error);
      // It is followed again at the next look.
      if (this.#following?.epoch === live.epoch) this.#following = null;
    });
    this.#following = { epoch: live.epoch, over };
  }

  async #tell({ epoch, runId }: HeldThread, feed: RunFeed): Promise<void> {
    let from = this.#position?.epoch === epoch ? this.#position.next : 0;
    while (!this.#signal.aborted) {
      await feed.reached(from, this.#signal);
      // Events come one by one, and mostly several within a task: they are told together.
      await nextTask();
      const items = itemsFrom(feed, from);
      if (items.length === 0) {
        if (feed.isLeft) throw new Error("the run is not followed any more");
        if (feed.isOver) break;
        continue;
      }
      const message: LiveMessages["events"] = { epoch, runId, from, items };
      from += items.length;
      this.#position = { epoch, next: from };
      await this.#send("events", message, `${epoch}:${from}`);
    }
    if (this.#signal.aborted) return;
    const storedEpoch = await this.#storedEpoch({ epoch, runId });
    await this.#send("end", { epoch, isStored: storedEpoch !== null, storedEpoch });
  }

  /** A run that another instance has ended is stored with a higher epoch than its own. */
  async #storedEpoch({
    epoch,
    runId,
  }: Pick<HeldThread, "epoch" | "runId">): Promise<number | null> {
    const { threads } = this.#options.runner;
    const { threadId } = this.#options;
    if ((await threads.run(threadId, { epoch, runId })) !== null) return epoch;
    const lastRun = (await threads.get(threadId))?.lastRun ?? null;
    return lastRun?.runId === runId && lastRun.epoch > epoch ? lastRun.epoch : null;
  }

  #send<Name extends keyof LiveMessages>(
    name: Name,
    message: LiveMessages[Name],
    id?: string,
  ): Promise<void> {
    const idLine = id === undefined ? "" : `id: ${id}\n`;
    return this.#write(`event: ${name}\n${idLine}data: ${JSON.stringify(message)}\n\n`);
  }

  /** Resolves when the page takes more: a page that reads slowly holds up nobody else, and fills no memory. */
  async #write(text: string): Promise<void> {
    if (this.#signal.aborted) return;
    this.#pingAt = performance.now() + PING_MS;
    if (this.#response.write(text)) return;
    await once(this.#response, "drain", { signal: this.#signal }).catch(() => undefined);
  }
}

/** The next events for one message. */
function itemsFrom({ events }: RunFeed, from: number): EventItem[] {
  const items: EventItem[] = [];
  let bytes = 0;
  for (let index = from; index < events.length && items.length < MAX_ITEMS; index++) {
    const event = events[index];
    if (event === undefined || bytes > MAX_BYTES) break;
    const item = itemOf(event, index);
    bytes += item.event === null ? 0 : event.bytes;
    items.push(item);
  }
  return items;
}

function positionOf(id: string | string[] | undefined): Position | null {
  const [, epoch, next] = /^(\d{1,15}):(\d{1,15})$/.exec(String(id)) ?? [];
  return epoch === undefined ? null : { epoch: Number(epoch), next: Number(next) };
}
