import { compactEvents } from "@ag-ui/client";
import type { BaseEvent } from "@ag-ui/core";
import { finalizeRunEvents } from "@copilotkit/shared";
import Database from "better-sqlite3";
import { type Observable, ReplaySubject } from "rxjs";
import type { ConnectRequest, RunInput, RunRequest } from "../../src/index.ts";
import type { BenchRunner } from "./bench-runner.ts";
import { createVersion1Schema } from "./version-1-file.ts";

/**
 * The design of the version 1 runner, on the main thread: a rollback journal, three transactions
 * a run, the thread's whole history parsed at the start of each run and at each connect, one row
 * written at the end with the whole input.
 */
export class SynchronousRunner implements BenchRunner {
  readonly #db: Database.Database;
  readonly #live = new Map<string, ReplaySubject<BaseEvent>>();

  constructor(dbPath: string) {
    this.#db = new Database(dbPath);
    createVersion1Schema(this.#db);
  }

  run({ threadId, agent, input }: RunRequest): Observable<BaseEvent> {
    if (this.#isRunning(threadId)) throw new Error("Thread already running");
    this.#setState(threadId, input.runId);
    const history = this.#history(threadId);
    const seen = new Set(history.events.map((event) => event.messageId));
    const events: BaseEvent[] = [];
    const subject = new ReplaySubject<BaseEvent>();
    this.#live.set(threadId, subject);
    const finish = () => {
      for (const event of finalizeRunEvents(events)) subject.next(event);
      this.#insert(threadId, input, history.lastRunId, compactEvents(events));
      this.#setState(threadId, null);
      this.#live.delete(threadId);
      subject.complete();
    };
    const onEvent = ({ event }: { event: BaseEvent }) => {
      const processed =
        event.type === "RUN_STARTED"
          ? {
              ...event,
              input: { ...input, messages: input.messages.filter((m) => !seen.has(m.id)) },
            }
          : event;
      events.push(processed);
      subject.next(processed);
    };
    agent
      .runAgent(input, { onEvent, onNewMessage() {}, onRunStartedEvent() {} })
      .then(finish, finish);
    return subject;
  }

  /**
   * The whole history, compacted once more, in one step; then those messages of the live run that are
   * not in it.
   */
  connect({ threadId }: ConnectRequest): Observable<BaseEvent> {
    const connection = new ReplaySubject<BaseEvent>();
    const emitted = new Set<unknown>();
    for (const event of compactEvents(this.#history(threadId).events)) {
      connection.next(event);
      if ("messageId" in event) emitted.add(event.messageId);
    }
    const live = this.#live.get(threadId);
    if (live === undefined || !this.#isRunning(threadId)) {
      connection.complete();
    } else {
      live.subscribe({
        next: (event) => {
          if (!("messageId" in event) || !emitted.has(event.messageId)) connection.next(event);
        },
        complete: () => connection.complete(),
      });
    }
    return connection;
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  stats(): null {
    return null;
  }

  #isRunning(threadId: string): boolean {
    const state = this.#db
      .prepare<[string], { is_running: number }>(
        "SELECT is_running FROM run_state WHERE thread_id = ?",
      )
      .get(threadId);
    return state?.is_running === 1;
  }

  #history(threadId: string): { events: BaseEvent[]; lastRunId: string | null } {
    const rows = this.#db
      .prepare<[string, string], { run_id: string; events: string }>(
        `WITH RECURSIVE chain AS (
           SELECT * FROM agent_runs WHERE thread_id = ? AND parent_run_id IS NULL
           UNION ALL
           SELECT r.* FROM agent_runs r JOIN chain c ON r.parent_run_id = c.run_id
           WHERE r.thread_id = ?)
         SELECT run_id, events FROM chain ORDER BY created_at`,
      )
      .all(threadId, threadId);
    const events = rows.flatMap((row) => JSON.parse(row.events) as BaseEvent[]);
    return { events, lastRunId: rows.at(-1)?.run_id ?? null };
  }

  #insert(threadId: string, input: RunInput, parent: string | null, events: BaseEvent[]): void {
    this.#db
      .prepare(
        `INSERT INTO agent_runs
           (thread_id, run_id, parent_run_id, events, input, created_at, version)
         VALUES (?, ?, ?, ?, ?, ?, 1)`,
      )
      .run(
        threadId,
        input.runId,
        parent,
        JSON.stringify(events),
        JSON.stringify(input),
        Date.now(),
      );
  }

  #setState(threadId: string, runId: string | null): void {
    this.#db
      .prepare(
        `INSERT OR REPLACE INTO run_state (thread_id, is_running, current_run_id, updated_at)
         VALUES (?, ?, ?, ?)`,
      )
      .run(threadId, runId === null ? 0 : 1, runId, Date.now());
  }
}
