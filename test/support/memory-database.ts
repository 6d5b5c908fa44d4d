import { chunksOf } from "../../src/events/json/chunks.ts";
import type { MessageDigest } from "../../src/events/message-digests.ts";
import { isVisible, type Scope } from "../../src/protocol/scope.ts";
import { type HistoryRow, PAGE_LENGTH } from "../../src/runs/history-page.ts";
import type { Heartbeat } from "../../src/runs/liveness.ts";

/** Its id is its place in the thread, from 1. */
export interface StoredRun extends HistoryRow {
  readonly epoch: number;
  /** JSON array of events. `chunks` has the same events. */
  readonly events: string;
}

/** A thread, and everything that is stored of it. */
export class Thread {
  /** The epoch of the last claim. */
  epoch = 0;
  /** Whose thread it is. Undefined when the next claim decides that. */
  resourceId: string | null | undefined;
  /** The claim that holds the thread. */
  holder: { runId: string; ownerId: string; claimNumber: number } | null = null;
  /** JSON of the input of the run that holds the thread, if it was sent. */
  input: string | null = null;
  /** What another instance asks of the run that holds the thread. */
  stop: "stop" | "discard" | null = null;
  /** In the order in which they were stored. */
  readonly runs: StoredRun[] = [];
  /**
   * By epoch, what was appended to a run before its end, and with its end: JSON arrays of events. It stays
   * for those who follow the run.
   */
  readonly journals = new Map<number, string[]>();
  /** By message id, the digests of the messages in stored runs. */
  readonly digests = new Map<string, number>();

  storedRun(epoch: number): StoredRun | undefined {
    return this.runs.findLast((run) => run.epoch === epoch);
  }

  store(runId: string, epoch: number, events: string, messages: readonly MessageDigest[]): void {
    const texts = () => (JSON.parse(events) as unknown[]).map((event) => JSON.stringify(event));
    const chunks = events.length <= PAGE_LENGTH ? [events] : chunksOf(texts(), PAGE_LENGTH);
    this.runs.push({ id: this.runs.length + 1, runId, epoch, events, chunks });
    for (const [id, digest] of messages) this.digests.set(id, digest);
  }

  /** Frees the thread. `lastEvents` end the journal of the run, if it has one. */
  free(...lastEvents: readonly string[]): void {
    this.journals.get(this.epoch)?.push(...lastEvents);
    this.holder = null;
    if (this.runs.length === 0) this.resourceId = undefined;
    this.input = null;
    this.stop = null;
  }
}

/** What `MemoryBackend`s share. It stands for the disk: it outlives the backends. */
export class MemoryDatabase {
  readonly threads = new Map<string, Thread>();
  /** By instance id, the instances that have the database open. */
  readonly instances = new Map<string, Heartbeat & { readonly leaseMs: number }>();
  /** By instance id, a function that tells the instance of a change. */
  readonly listeners = new Map<string, () => void>();

  /** An unknown thread is an empty one. */
  thread(threadId: string): Thread {
    const thread = this.threads.get(threadId) ?? new Thread();
    this.threads.set(threadId, thread);
    return thread;
  }

  /** A thread that `scope` does not see is an empty one. */
  threadIn(scope: Scope, threadId: string): Thread {
    const thread = this.thread(threadId);
    return isVisible(scope, thread.resourceId ?? null) ? thread : new Thread();
  }

  tellOthers(instanceId: string): void {
    for (const [id, tell] of this.listeners) if (id !== instanceId) tell();
  }
}
