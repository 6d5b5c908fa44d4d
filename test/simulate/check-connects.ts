import type { EventLike } from "../../src/events/event.ts";
import { STORE_CODES } from "../chaos/runs.ts";
import { verifyWithClients } from "../events/clients.ts";
import { isKept, isSuperseded } from "./check-stored.ts";
import type { ConnectRecord, Facts, Report, RunRecord } from "./records.ts";
import { compareWithRun, numberIn, storedRuns } from "./stored.ts";

/** The shapes of the streams that were verified before: most schedules have the same. */
const verified = new Set<string>();
/** The shapes of the events of those streams, numbered. */
const eventShapes = new Map<string, number>();
/** Less than 65 536: the number of an event's shape is one UTF-16 unit. */
const MAX_KNOWN = 50_000;

const INTERRUPTED: EventLike = { type: "RUN_ERROR", message: "", code: "RUN_INTERRUPTED" };

/** That each `connect` showed a whole and valid conversation: no gap, nothing twice. */
export async function checkConnects(facts: Facts, report: Report): Promise<void> {
  for (const [at, connect] of facts.connects.entries()) {
    const where = `connect ${at + 1} to ${connect.threadId} on ${connect.process.name}`;
    await checkConnect(facts, connect, (rule, seen) => report(rule, `${where}: ${seen}`));
  }
  for (const run of facts.runs) {
    await verify(run.saw, (seen) => report("verifies", `the stream of run ${run.number}: ${seen}`));
  }
}

async function checkConnect(facts: Facts, connect: ConnectRecord, report: Report): Promise<void> {
  await verify(connect.events, (seen) => report("verifies", seen));
  const parts = splitByRun(connect.events);
  const numbers = parts.map(numberIn).filter((number) => number !== null);
  if (new Set(numbers).size < numbers.length) {
    report("connect-once", `shows the runs ${numbers.join(", ")}`);
  }
  for (const events of parts) {
    const number = numberIn(events);
    const run = number === null ? undefined : facts.runs[number - 1];
    if (run === undefined) continue;
    if (run.threadId !== connect.threadId) report("connect-is-true", `run ${number} is elsewhere`);
    // A client that left, or whose process died, has seen a beginning: no end of an interrupted run, for one.
    const isCut = connect.completedAt === null;
    const { whole, problem } = compareWithRun(isCut ? [...events, INTERRUPTED] : events, run);
    const last = events.at(-1);
    if (problem !== null && !(last?.type === "RUN_ERROR" && STORE_CODES.has(last.code))) {
      const isWholeNow = isCut && compareWithRun(events, run).problem === null;
      if (!isWholeNow) report("connect-is-true", `run ${number}: ${problem}`);
    }
    const isInterrupted =
      last?.type === "RUN_ERROR" && (STORE_CODES.has(last.code) || last.code === "RUN_INTERRUPTED");
    if (!isCut && !whole && !isInterrupted) report("connect-is-whole", `run ${number} has a gap`);
  }
  if (connect.completedAt === null || connect.hasLeft) return;
  const failure = connect.events.find(
    ({ type, code }) => type === "RUN_ERROR" && STORE_CODES.has(code),
  );
  const hadTrouble = isInTrouble(facts, connect);
  if (failure !== undefined && !hadTrouble && !isOfARun(facts, failure, connect)) {
    report("connect-succeeds", JSON.stringify(failure));
  }
  if (failure !== undefined && hadTrouble) return;
  for (const run of facts.runs) {
    if (run.threadId !== connect.threadId || numbers.includes(run.number)) continue;
    if (!isDue(run, connect) || isSuperseded(run, facts) || numberIn(run.saw) === null) continue;
    report("connect-is-complete", `run ${run.number} began before it, and is not there`);
  }
  if (connect.isLast) checkLast(facts, connect, parts.map(numberIn), report);
}

/** Whether a connect that began when the run had begun is to show it. */
function isDue(run: RunRecord, { startedAt }: ConnectRecord): boolean {
  if (!isKept(run)) return false;
  if ((run.completedAt ?? 0) < startedAt) return true;
  // Nobody follows a run whose process looks dead.
  const isBegun = run.agentStartedAt !== null && run.agentStartedAt < startedAt;
  return isBegun && run.process.silences.length === 0;
}

/** When all is over, a connect shows every row, in the order in which they were stored. */
function checkLast(
  facts: Facts,
  { threadId }: ConnectRecord,
  shown: readonly (number | null)[],
  report: Report,
): void {
  const stored = storedRuns(facts).filter((run) => run.threadId === threadId);
  const rows = stored.map(({ number }) => number);
  if (rows.join() === shown.join()) return;
  report("connect-is-complete", `shows the runs ${shown.join()}, and ${rows.join()} are stored`);
}

/** A run that the store lost says so to whoever sees it live. */
function isOfARun({ runs }: Facts, failure: EventLike, { threadId }: ConnectRecord): boolean {
  const isKnown = failure.code === "LEASE_LOST" || failure.code === "PERSISTENCE_FAILED";
  return isKnown && runs.some((run) => run.threadId === threadId && run.agentStartedAt !== null);
}

function isInTrouble(
  { troubles }: Facts,
  { process, startedAt, completedAt }: ConnectRecord,
): boolean {
  const end = completedAt ?? Number.POSITIVE_INFINITY;
  if (process.closingAt !== null && process.closingAt <= end) return true;
  return troubles.some(({ on, from, until }) => {
    return (on === null || on === process.place) && from <= end && until >= startedAt;
  });
}

async function verify(events: readonly EventLike[], report: (seen: string) => void): Promise<void> {
  if (events.length === 0) return;
  const shape = shapeOf(events);
  if (verified.has(shape)) return;
  try {
    await verifyWithClients(events);
    if (verified.size > MAX_KNOWN || eventShapes.size > MAX_KNOWN) {
      verified.clear();
      eventShapes.clear();
    } else verified.add(shape);
  } catch (error) {
    report(String(error));
  }
}

/**
 * All that a client looks at when it verifies a stream, one character an event. Texts are left out, and
 * which run it is: message ids are counted instead.
 */
function shapeOf(events: readonly EventLike[]): string {
  const ids = new Map<unknown, number>();
  let shape = "";
  for (const event of events) {
    let fields = "";
    for (const [name, value] of Object.entries(event)) {
      if (name === "input" || name === "number") continue;
      let seen = value;
      if (name === "messageId") {
        if (!ids.has(value)) ids.set(value, ids.size);
        seen = ids.get(value);
      } else if (name === "delta") seen = value === "" ? "empty" : typeof value;
      fields += `${name} ${typeof seen === "object" ? JSON.stringify(seen) : String(seen)},`;
    }
    const code = eventShapes.get(fields) ?? eventShapes.size;
    eventShapes.set(fields, code);
    shape += String.fromCharCode(code);
  }
  return shape;
}

function splitByRun(events: readonly EventLike[]): EventLike[][] {
  const parts: EventLike[][] = [];
  for (const event of events) {
    if (event.type === "RUN_STARTED") parts.push([event]);
    else parts.at(-1)?.push(event);
  }
  return parts;
}
