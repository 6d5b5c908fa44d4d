import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { unlessFileFails } from "../database/fault.ts";
import { hasOtherInstances } from "../instances/instances.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Reaper } from "./reaper.ts";
import { StopNotices } from "./stop-notices.ts";

/** How often a writer that is not alone on its file looks whether another instance has written. */
const WATCH_MS = 10;

/** How often a writer that is not alone on its file looks whether another instance is dead. */
const REAP_MS = 1000;

/**
 * What the writer of a file does between batches, because other instances may have the file open.
 *
 * Alone: it writes its heartbeat, and reaps after each heartbeat. At the next batch or heartbeat it
 * finds out that another connection has written, and begins to watch.
 *
 * Watching: it looks every 10 ms whether another instance has written, and tells the main thread. It
 * reaps every second, and is alone again when no other instance has a row.
 */
export class Maintenance {
  readonly #context: WriterContext;
  readonly #tell: (notice: WriterNotice) => void;
  readonly #heartbeat: Heartbeat;
  readonly #reaper: Reaper;
  readonly #stopNotices: StopNotices;
  /** Null while this instance is alone. */
  #watch: NodeJS.Timeout | null = null;
  #dataVersion: number;

  constructor(
    context: WriterContext,
    tell: (notice: WriterNotice) => void,
    isFileThere: () => boolean,
  ) {
    this.#context = context;
    this.#tell = tell;
    this.#reaper = new Reaper(context, tell);
    this.#stopNotices = new StopNotices(context, tell);
    this.#dataVersion = this.#readDataVersion();
    const onBeat = () => this.#afterBeat();
    this.#heartbeat = new Heartbeat({ context, tell, isFileThere, onBeat });
    if (hasOtherInstances(context)) this.#startWatch();
  }

  /** An instance that opens the file writes to it: the next batch here sees that. */
  beforeBatch(): void {
    this.#heartbeat.beatIfLate();
    if (this.#watch === null && this.#hasChanged()) this.lookForOthers();
  }

  /** Called after each batch. `ms` is how long its transaction took. */
  afterBatch(ms: number): void {
    this.#heartbeat.noteTransaction(ms);
  }

  /** Begins to watch if this instance is no longer alone. */
  lookForOthers(): void {
    if (this.#watch !== null || !hasOtherInstances(this.#context)) return;
    this.#startWatch();
    this.#heartbeat.reschedule();
    this.#stopNotices.tellNew();
  }

  end(): void {
    this.#heartbeat.end();
    this.#stopWatch();
  }

  #afterBeat(): void {
    if (this.#watch !== null) return;
    this.#reaper.reap();
    this.lookForOthers();
    this.#stopNotices.tellNew();
  }

  #look(): void {
    const changed = this.#hasChanged();
    if (this.#reaper.isDue(Math.min(REAP_MS, this.#heartbeat.intervalMs))) {
      this.#reaper.reap();
      this.#stopNotices.forgetTold();
      this.#stopNotices.tellNew();
      if (!hasOtherInstances(this.#context)) this.#stopWatch();
    }
    if (changed) {
      this.#stopNotices.tellNew();
      this.#tell({ kind: "changed" });
    }
  }

  #startWatch(): void {
    this.#watch ??= setInterval(() => unlessFileFails(() => this.#look(), this.#tell), WATCH_MS);
  }

  #stopWatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
    this.#stopNotices.forgetTold();
  }

  /** Whether another connection has written since this was last asked. */
  #hasChanged(): boolean {
    const dataVersion = this.#readDataVersion();
    if (dataVersion === this.#dataVersion) return false;
    this.#dataVersion = dataVersion;
    return true;
  }

  /** https://www.sqlite.org/pragma.html#pragma_data_version */
  #readDataVersion(): number {
    return this.#context.statements.dataVersion.get() ?? 0;
  }
}
