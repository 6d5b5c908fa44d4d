import type { Fault } from "../support/mutated-copy.ts";

export interface Mutation extends Fault {
  /** The faults with which the simulator finds it. Without it, all of them. */
  readonly only?: string;
  /** Within so many schedules of seed 1 the simulator finds it. */
  readonly schedules: number;
}

const BACKEND = "test/support/memory-backend.ts";
const OPERATIONS = "test/support/memory-operations.ts";

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "an instance is judged by a time in which nobody could write",
    file: "src/runs/own-heartbeat.ts",
    find: "this.isLate || hasFailed ? 0 : Math.max(0, sinceMs - uncountedMs)",
    replace: "Math.max(0, sinceMs - uncountedMs)",
    only: "outages",
    schedules: 2000,
  },
  {
    name: "a heartbeat that fails is the last one",
    file: BACKEND,
    find: "this.#lastError = toRunStoreError(error);",
    replace: "this.#lastError = toRunStoreError(error);\n      clearInterval(this.#timer);",
    only: "outages",
    schedules: 300,
  },
  {
    name: "a claim that was refused after a stall is not withdrawn",
    file: "src/store/queued/claims.ts",
    find: "unstored.withdraw(threadId, number);",
    replace: "",
    only: "answers",
    schedules: 500,
  },
  {
    name: "a run whose end can never be stored keeps its thread",
    file: "src/store/queued/claimed-run.ts",
    find: 'if (error.code !== "LEASE_LOST") unstored.giveUp(this, error);\n      else this.#publishLost();',
    replace: "",
    only: "unstorable-runs",
    schedules: 100,
  },
  {
    name: "a lost row of an instance is not put back with a claim",
    file: BACKEND,
    find: "if (!this.#database.instances.has(this.#instanceId)) this.#writeRow();",
    replace: "",
    only: "lost-rows",
    schedules: 300,
  },
  {
    name: "a replay knows the live run by its run id",
    file: "src/runner/replay.ts",
    find: "run.epoch === live?.epoch",
    replace: "run.runId === live?.runId",
    schedules: 300,
  },
  {
    name: "a stored run is known by its run id",
    file: OPERATIONS,
    find: "thread.storedRun(op.epoch) !== undefined",
    replace:
      'op.kind === "finish" ? thread.runs.some(({ runId }) => runId === op.runId) : thread.storedRun(op.epoch) !== undefined',
    schedules: 2000,
  },
  {
    name: "a run that was superseded while it waited claims the thread",
    file: "src/runner/active-run.ts",
    find: '      if (!this.#isIn("claiming")) return outcome;\n    }',
    replace: "    }",
    schedules: 300,
  },
  {
    name: "a run id that came before is refused",
    file: OPERATIONS,
    find: 'if (decision.kind === "refuse") {',
    replace: 'if (decision.kind === "refuse" || thread.runs.some((run) => run.runId === runId)) {',
    only: "closes",
    schedules: 100,
  },
  {
    name: "a run that was told to stop does not stand in the way of the next one",
    file: "src/runner/thread-runs.ts",
    find: "if (current !== null) return current;",
    replace:
      "{\n      if (current?.isRunning === false) for (const thread of this.#visible(threadId, scope)) thread.current = null;\n      else if (current !== null) return current;\n    }",
    schedules: 100,
  },
  {
    name: "stop ignores the run id",
    file: "src/runner/store-agent-runner.ts",
    find: "runId === undefined ? current : this.#runs.find(threadId, runId, scope)",
    replace: "current",
    schedules: 300,
  },
  {
    name: "stop of a run elsewhere ignores the run id",
    file: "src/runs/holder.ts",
    find: "(op.runId === null || op.runId === holder.runId) &&",
    replace: "op.runId !== undefined &&",
    schedules: 300,
  },
  {
    name: "of the runs that wait, the last one is the first",
    file: "src/runner/thread-runs.ts",
    find: "const run = this.#runs[this.#head++];",
    replace: "const run = this.#runs.pop();",
    schedules: 300,
  },
  {
    name: "epochs are not compared",
    file: OPERATIONS,
    find: "if (!isOurs || thread.epoch !== op.epoch) {",
    replace: "if (!isOurs) {",
    schedules: 300,
  },
  {
    name: "owners are not compared, nor epochs",
    file: OPERATIONS,
    find: "if (!isOurs || thread.epoch !== op.epoch) {",
    replace: "if (holder === null) {",
    schedules: 300,
  },
  {
    name: "a claim that is sent again takes a second epoch",
    file: "src/runs/claim.ts",
    find: 'isRepeated ? { kind: "repeat", epoch: holder.epoch } : { kind: "recover" }',
    replace: 'isRepeated ? { kind: "recover" } : { kind: "recover" }',
    schedules: 100,
  },
  {
    name: "followers miss what comes with the end of a run",
    file: BACKEND,
    find: "segments: all.slice(afterId)",
    replace: "segments: running ? all.slice(afterId) : []",
    schedules: 300,
  },
  {
    name: "followers are given a run again when it is stored",
    file: "src/runs/follow.ts",
    find: "news.running || begun ? null",
    replace: "news.running || begun === undefined ? null",
    schedules: 300,
  },
  {
    name: "a batch is committed though the one before it failed",
    file: "src/runs/batch-order.ts",
    find: "if (after === null || after === this.#committedSeq) return;",
    replace: "if (after !== undefined) return;",
    only: "answers",
    schedules: 8000,
  },
  {
    name: "a batch does not name the one before it",
    file: "src/store/queued/in-flight.ts",
    find: "const after = this.#batches.length > 0 ? this.#lastSeq : null;",
    replace: "const after = null;",
    only: "answers",
    schedules: 8000,
  },
  {
    name: "a batch is sent while the batch that failed is sent again",
    file: "src/store/queued/batcher.ts",
    find: "return !this.#isRetrying && this.#inFlight.size < MAX_IN_FLIGHT;",
    replace: "return this.#inFlight.size < MAX_IN_FLIGHT;",
    only: "answers",
    schedules: 2000,
  },
  {
    name: "a claim that a stall held up is made again though a later run has the thread",
    file: "src/store/queued/claims.ts",
    find: "? REFUSALS.THREAD_ALREADY_RUNNING\n",
    replace: "? this.claim(request)\n",
    schedules: 2000,
  },
];
