import { join } from "node:path";
import Database from "better-sqlite3";
import type { BenchRunner } from "../peers/bench-runner.ts";
import { openPeer } from "../peers/open-peer.ts";
import { createVersion1Schema } from "../peers/version-1-file.ts";
import type { Point } from "../results.ts";
import { median } from "../statistics.ts";
import { type Connected, connectOnce } from "./connect.ts";
import type { Assignment } from "./workload.ts";

const MIN_ROUNDS = 3;
/** A thread of each length is connected to for the first time so often: of each there are copies. */
const COPIES = 5;
const REPLAYED_RUNS = 20;
const WARM_UP = "warm-up";

/** Events of a run that are replayed: of 18 stored ones, all but the snapshot of the state. */
const REPLAYED_EVENTS = 17;
const ANSWER = "An answer of some length, with what a reader of it needs to know. ".repeat(3);

/**
 * How long a client that asks for the last runs alone waits for its first event, and how long the event
 * loop is blocked, over the length of the thread. When nobody has connected to the thread before, when the
 * file was reopened, and after that.
 */
export async function measureFolded(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, directory } = assignment;
  const dbPath = join(directory, "threads.db");
  writeThreads(dbPath, points);
  const measured = new Map(points.map((length) => [length, emptyPhases()]));
  const each = async (phase: keyof Phases, runner: BenchRunner) => {
    for (const length of points) {
      for (let copy = 0; copy < COPIES; copy++) {
        measured.get(length)?.[phase].push(await connect(runner, threadOf(length, copy)));
      }
    }
  };

  const first = await openWarm(peer, dbPath);
  await each("cold", first);
  await first.close();
  const second = await openWarm(peer, dbPath);
  await each("reopened", second);
  const until = performance.now() + seconds * 1000;
  for (let round = 0; round < MIN_ROUNDS || performance.now() < until; round++) {
    await each("warm", second);
  }
  await second.close();
  return [...measured].map(([x, phases]) => ({ x, figures: figuresOf(phases) }));
}

interface Phases {
  readonly cold: Connected[];
  readonly reopened: Connected[];
  readonly warm: Connected[];
}

const emptyPhases = (): Phases => ({ cold: [], reopened: [], warm: [] });

function figuresOf({ cold, reopened, warm }: Phases) {
  const first = (list: readonly Connected[]) =>
    median(list.map(({ firstEventMs }) => firstEventMs ?? 0));
  const blocks = [...cold, ...reopened, ...warm].map(({ blockMs }) => blockMs);
  return {
    firstEventMs: first(warm),
    firstEventReopenedMs: first(reopened),
    firstEventColdMs: first(cold),
    longestBlockMs: median(warm.map(({ blockMs }) => blockMs)),
    worstBlockMs: Math.max(...blocks),
    totalMs: median(warm.map(({ totalMs }) => totalMs)),
    totalColdMs: median(cold.map(({ totalMs }) => totalMs)),
  };
}

/** A runner that has compiled what a connect executes, on a short thread. */
async function openWarm(peer: Assignment["peer"], dbPath: string): Promise<BenchRunner> {
  const runner = await openPeer(peer, dbPath);
  for (let time = 0; time < 20; time++) await connect(runner, WARM_UP);
  return runner;
}

function connect(runner: BenchRunner, threadId: string): Promise<Connected> {
  const headers = { "x-replay-runs": String(REPLAYED_RUNS) };
  return connectOnce(runner, { threadId, headers }, REPLAYED_RUNS * REPLAYED_EVENTS);
}

const threadOf = (length: number, copy: number) => `folded-${length}-${copy}`;

function writeThreads(dbPath: string, lengths: readonly number[]): void {
  const db = new Database(dbPath);
  db.pragma("synchronous = OFF");
  createVersion1Schema(db);
  const insert = db.prepare(
    `INSERT INTO agent_runs (thread_id, run_id, parent_run_id, events, input, created_at, version)
     VALUES (?, ?, ?, ?, '{}', ?, 1)`,
  );
  const write = (threadId: string, runs: number) => {
    for (let turn = 0; turn < runs; turn++) {
      const runId = `${threadId}-${turn}`;
      const parent = turn === 0 ? null : `${threadId}-${turn - 1}`;
      insert.run(threadId, runId, parent, JSON.stringify(eventsOf(threadId, runId)), turn);
    }
  };
  db.transaction(() => {
    write(WARM_UP, 2 * REPLAYED_RUNS);
    for (const length of lengths) {
      for (let copy = 0; copy < COPIES; copy++) write(threadOf(length, copy), length);
    }
  })();
  db.close();
}

/** A question, a tool call with its result, an answer, and the state of the agent. */
function eventsOf(threadId: string, runId: string): readonly object[] {
  const [messageId, toolCallId] = [`${runId}-answer`, `${runId}-call`];
  const question = { id: `${runId}-question`, role: "user", content: "And what comes then?" };
  const callId = `${runId}-calling`;
  const call = { type: "TOOL_CALL_START", toolCallId, toolCallName: "search" };
  const step = (name: string) => [
    { type: "STEP_STARTED", stepName: name },
    { type: "STEP_FINISHED", stepName: name },
  ];
  return [
    { type: "RUN_STARTED", threadId, runId, input: { threadId, runId, messages: [question] } },
    ...step("plan"),
    { ...call, parentMessageId: callId },
    { type: "TOOL_CALL_ARGS", toolCallId, delta: '{"query":"what comes then"}' },
    { type: "TOOL_CALL_END", toolCallId },
    { type: "TOOL_CALL_RESULT", messageId: `${runId}-result`, toolCallId, content: ANSWER },
    ...step("read"),
    ...step("write"),
    { type: "CUSTOM", name: "progress", value: 50 },
    { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: ANSWER },
    { type: "TEXT_MESSAGE_END", messageId },
    { type: "STATE_SNAPSHOT", snapshot: { last: runId } },
    { type: "CUSTOM", name: "progress", value: 100 },
    { type: "RUN_FINISHED", threadId, runId },
  ];
}
