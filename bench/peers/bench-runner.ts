import type { BaseEvent } from "@ag-ui/core";
import type { Observable } from "rxjs";
import type { ConnectRequest, RunnerStats, RunRequest } from "../../src/index.ts";

/** The methods that the trials need of a peer. */
export interface BenchRunner {
  run(request: RunRequest): Observable<BaseEvent>;
  connect(request: ConnectRequest): Observable<BaseEvent>;
  close(): Promise<void>;
  /** Null for a peer without a queue. */
  stats(): RunnerStats | null;
}
