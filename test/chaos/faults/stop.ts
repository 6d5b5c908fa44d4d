import type { RunIds } from "../agents.ts";
import type { LoadProcess } from "../load-process.ts";
import { type LogRecord, now } from "../log.ts";
import type { Round } from "../round.ts";

/** How long the other process may take to notice that the suspended process is past its lease. */
const TAKE_OVER_MS = 2500;
const MAX_STOPS = 5;
const LATE_THREADS = ["thread-6", "thread-7"];

/** A way to keep a process from its store, and back. */
interface Absence {
  readonly begin: (child: LoadProcess) => void | Promise<void>;
  readonly end: (child: LoadProcess) => void;
}

const SUSPENDED: Absence = { begin: (child) => child.halt(), end: (child) => child.wake() };

export function stopProcess(round: Round, takeOverMs = TAKE_OVER_MS): Promise<void> {
  return loseTouch(round, SUSPENDED, takeOverMs);
}

/**
 * Keeps a process with runs in flight from its store, until the other process has taken over some of its
 * threads, and a client without an answer has sent its run to the other process again. Then lets it back.
 */
export async function loseTouch(round: Round, absence: Absence, takeOverMs: number): Promise<void> {
  const sleeper = round.start("sleeper", {
    leaseMs: 500,
    mix: "many-silent",
    threadIds: [...round.threadIds, ...LATE_THREADS],
    lateThreadIds: LATE_THREADS,
  });
  await sleeper.until("run", 3);
  const other = round.start("other");
  await other.until("run", 2);
  let stops = 0;
  let taken = false;
  // A process that is stopped within a transaction holds its locks: no process could take over its
  // threads.
  while (!taken && stops++ < MAX_STOPS) {
    await round.pause(20, 200);
    // Otherwise there is nothing to take over.
    await round.untilLogged(sleeper, (records) =>
      inFlight(records).some(({ threadId }) => round.threadIds.includes(threadId)),
    );
    await absence.begin(sleeper);
    const haltedAt = now();
    const lost = new Set(inFlight(sleeper.records()).map(({ threadId }) => threadId));
    const isTaken = (records: readonly LogRecord[]) =>
      startsIn(records).some(({ at, threadId }) => at > haltedAt && lost.has(threadId));
    taken = await round.untilLogged(other, isTaken, takeOverMs);
    if (taken) await retryUnheard(round, sleeper, other);
    if (taken) sleeper.endInput();
    absence.end(sleeper);
  }
  round.detail = `${stops} stop(s)`;
  round.prove(taken, "no run of the stopped process was taken over");
  await round.untilReached(sleeper.exited);
}

async function retryUnheard(round: Round, sleeper: LoadProcess, other: LoadProcess): Promise<void> {
  const heard = new Set(
    sleeper.records().flatMap((record) => (record.what === "emit" ? [record.runId] : [])),
  );
  const unheard = inFlight(sleeper.records()).filter(
    ({ threadId, runId }) => LATE_THREADS.includes(threadId) && !heard.has(runId),
  );
  for (const run of unheard) other.retry(run);
  const isRetried = (records: readonly LogRecord[]) => {
    const runIds = startsIn(records).map(({ runId }) => runId);
    return unheard.every(({ runId }) => runIds.includes(runId));
  };
  const retried = await round.untilLogged(other, isRetried, TAKE_OVER_MS);
  round.prove(retried, "a run of the stopped process could not be had again");
  await round.pause(0, 300);
}

function startsIn(records: readonly LogRecord[]) {
  return records.filter((record) => record.what === "agent-started");
}

function inFlight(records: readonly LogRecord[]): RunIds[] {
  const runs = new Map<string, RunIds>();
  for (const record of records) {
    if (record.what === "agent-started") {
      runs.set(record.runId, { threadId: record.threadId, runId: record.runId });
    } else if (record.what === "agent-ended") runs.delete(record.runId);
  }
  return [...runs.values()];
}
