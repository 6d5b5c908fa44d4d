import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { unlessFileFails } from "../database/fault.ts";
import { hasOtherInstances } from "../instances/instances.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Reaper } from "./reaper.ts";
import { StopNotices } from "./stop-notices.ts";

/** Milliseconds between two checks whether another instance has written, unless the writer is alone. */
const WATCH_MS = 10;

/** Milliseconds between two checks whether another instance is dead, unless the writer is alone. */
const REAP_MS = 1000;

export interface MaintenanceOptions {
  readonly context: WriterContext;
  readonly notify: (notice: WriterNotice) => void;
  readonly isFileThere: () => boolean;
  /** Carries on with removals of threads that a dead process has left unfinished. */
  readonly resume: () => void;
}

/**
 * What the writer of a file does between batches, because other instances may have the file open.
 *
 * Alone: the writer writes its heartbeat, and reaps after each heartbeat. When a batch or a heartbeat
 * finds that another connection has written, the writer begins to watch.
 *
 * Watching: the writer checks every 10 ms whether another instance has written, and tells the main
 * thread. It reaps every second. It is alone again when no other instance has a row.
 */
export class Maintenance {
  readonly #context: WriterContext;
  readonly #notify: (notice: WriterNotice) => void;
  readonly #resume: () => void;
  readonly #heartbeat: Heartbeat;
  readonly #reaper: Reaper;
  readonly #stopNotices: StopNotices;
  /** Null while this instance is alone. */
  #watch: NodeJS.Timeout | null = null;
  #dataVersion: number;

  constructor({ context, notify, isFileThere, resume }: MaintenanceOptions) {
    this.#context = context;
    this.#notify = notify;
    this.#resume = resume;
    this.#reaper = new Reaper(context, notify);
    this.#stopNotices = new StopNotices(context, notify);
    this.#dataVersion = this.#readDataVersion();
    const onBeat = () => this.#afterBeat();
    this.#heartbeat = new Heartbeat({ context, notify, isFileThere, onBeat });
    if (hasOtherInstances(context)) this.#startWatch();
    this.#reaper.offerInterrupted();
  }

  /** Called before each batch. */
  beforeBatch(): void {
    this.#heartbeat.beatIfLate();
  }

  /** Throws why the file cannot be written. */
  probe(): void {
    this.#heartbeat.beatNow();
  }

  /**
   * Called after each batch. `ms` is how long its transaction took. Notices a new instance, which writes to the
   * file when it opens the file: the transaction has read the data version.
   */
  afterBatch(ms: number): void {
    this.#heartbeat.noteTransaction(ms);
    if (this.#watch !== null) return;
    if (this.#isNew(this.#context.messages.dataVersion)) this.lookForOthers();
  }

  /** Begins to watch if this instance is no longer alone. */
  lookForOthers(): void {
    if (this.#watch !== null || !hasOtherInstances(this.#context)) return;
    this.#startWatch();
    this.#heartbeat.reschedule();
    this.#stopNotices.sendNew();
  }

  end(): void {
    this.#heartbeat.end();
    this.#stopWatch();
  }

  #afterBeat(): void {
    if (this.#watch !== null) return;
    this.#reaper.reap();
    this.#resume();
    this.lookForOthers();
    this.#stopNotices.sendNew();
  }

  #look(): void {
    const changed = this.#isNew(this.#readDataVersion());
    if (this.#reaper.isDue(Math.min(REAP_MS, this.#heartbeat.intervalMs))) {
      this.#reaper.reap();
      this.#resume();
      this.#stopNotices.forgetSent();
      this.#stopNotices.sendNew();
      if (!hasOtherInstances(this.#context)) this.#stopWatch();
    }
    if (changed) {
      this.#stopNotices.sendNew();
      this.#notify({ kind: "changed" });
    }
  }

  #startWatch(): void {
    this.#watch ??= setInterval(() => unlessFileFails(() => this.#look(), this.#notify), WATCH_MS);
  }

  #stopWatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
    this.#stopNotices.forgetSent();
  }

  /** Whether another connection has written since the last call. */
  #isNew(dataVersion: number): boolean {
    if (dataVersion === this.#dataVersion) return false;
    this.#dataVersion = dataVersion;
    return true;
  }

  /** https://www.sqlite.org/pragma.html#pragma_data_version */
  #readDataVersion(): number {
    return this.#context.statements.dataVersion.get() ?? 0;
  }
}
