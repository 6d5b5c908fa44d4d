import type { BaseEvent } from "@ag-ui/core";
import type { Observable } from "rxjs";
import type { ConnectRequest, RunnerStats, RunRequest } from "../../src/index.ts";

/** What is asked of a peer. */
export interface BenchRunner {
  run(request: RunRequest): Observable<BaseEvent>;
  connect(request: ConnectRequest): Observable<BaseEvent>;
  close(): Promise<void>;
  /** Null for a peer that queues nothing. */
  stats(): RunnerStats | null;
}
