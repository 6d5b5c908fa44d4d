import type { Logger } from "../../src/protocol/logger.ts";
import { StoreAgentRunner } from "../../src/runner/store-agent-runner.ts";
import { QueuedRunStore } from "../../src/store/queued/queued-run-store.ts";
import type { MemoryDatabase } from "../support/memory-database.ts";
import { LEASE_MS, STOP_TIMEOUT_MS } from "./plan.ts";
import type { ProcessRecord } from "./records.ts";
import { type Conditions, TroubledBackend } from "./troubled-backend.ts";
import type { Owner, VirtualTime } from "./virtual-time.ts";

/** A process that executes: one runner, on a database that it shares with others. */
export interface Process {
  readonly record: ProcessRecord;
  readonly owner: Owner;
  readonly runner: StoreAgentRunner;
  readonly backend: TroubledBackend;
}

export interface ProcessOptions {
  readonly time: VirtualTime;
  readonly database: MemoryDatabase;
  readonly conditions: Conditions;
}

const CLOSE_TIMEOUT_MS = 1000;

/** A run that could not be stored is told to the logger alone if its agent's own RUN_ERROR is its end. */
function loggerOf({ losses }: ProcessRecord): Logger {
  return {
    debug() {},
    info() {},
    warn() {},
    error(fields) {
      const { threadId, runId } = fields as { threadId?: string; runId?: string };
      if (threadId !== undefined && runId !== undefined) losses.push({ threadId, runId });
    },
  };
}

export function startProcess(record: ProcessRecord, options: ProcessOptions): Process {
  const { time, database, conditions } = options;
  const { name, onConcurrentRun, lingerMs, maxBatchBytes } = record;
  const logger = loggerOf(record);
  const owner: Owner = { isDead: false, pausedUntil: 0 };
  return time.as(owner, () => {
    const backend = new TroubledBackend(database, name, conditions);
    const store = new QueuedRunStore({
      backend,
      lingerMs,
      maxBatchBytes,
      maxPendingBytes: 64 * 1024 * 1024,
      leaseMs: LEASE_MS,
      storeRawEvents: true,
      logger,
    });
    const runner = new StoreAgentRunner({
      store,
      logger,
      onConcurrentRun,
      stopTimeoutMs: STOP_TIMEOUT_MS,
      closeTimeoutMs: CLOSE_TIMEOUT_MS,
      storeInput: "new-messages",
    });
    return { record, owner, runner, backend };
  });
}
