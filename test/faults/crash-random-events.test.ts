import "../support/leak-guard.ts";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { expect, it } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
import { interleavedRun, looseEvent, plainRun } from "../events/random-runs.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import { collectingLogger, replayOf, runIdsIn, runToEnd, typesOf } from "../support/open-runner.ts";
import { answeringAgent, type ScriptEvent } from "../support/scripted-agent.ts";
import { tempDirectory } from "../support/temp-file.ts";

const CHILD = fileURLToPath(new URL("fixtures/fuzz.child.ts", import.meta.url));
const THREADS = 12;

const isTerminal = ({ type }: ScriptEvent) => type === "RUN_FINISHED" || type === "RUN_ERROR";

/** A run of the sequences above, with one marker after each event: markers are never merged. */
function marked(events: readonly object[]): ScriptEvent[] {
  const plan = events.flatMap((event, at) => [
    event,
    { type: "CUSTOM", name: "marker", value: at },
  ]);
  return plan as ScriptEvent[];
}

const markersIn = (events: readonly ScriptEvent[]) =>
  events.filter(({ name }) => name === "marker").map(({ value }) => value);

const sequence = fc
  .oneof(interleavedRun, plainRun, fc.array(looseEvent, { maxLength: 60, size: "max" }))
  .map(marked);

interface Seen {
  /** How many events were about to be emitted. */
  emitted: number;
  completed: boolean;
}

function readRecord(path: string): Map<number, Seen> {
  const seen = new Map<number, Seen>();
  for (const line of readFileSync(path, "utf8").split("\n").slice(0, -1)) {
    const [thread, what] = line.split(" ");
    const entry = seen.get(Number(thread)) ?? { emitted: 0, completed: false };
    if (what === "completed") entry.completed = true;
    else entry.emitted = Number(what) + 1;
    seen.set(Number(thread), entry);
  }
  return seen;
}

/** The markers that the live stream shows: events after a terminal event are ignored. */
function markersEmitted(plan: readonly ScriptEvent[], emitted: number): unknown[] {
  const markers: unknown[] = [];
  let isOver = false;
  for (const event of plan.slice(0, emitted)) {
    if (event.type === "RUN_STARTED") isOver = false;
    else if (isTerminal(event)) isOver = true;
    else if (!isOver && event.name === "marker") markers.push(event.value);
  }
  return markers;
}

/**
 * Opens the file of the killed child, and checks each of its threads. Returns the number of outcomes of
 * each kind.
 */
async function checkFile(dbPath: string, plans: ScriptEvent[][], seen: Map<number, Seen>) {
  const found = { interrupted: 0, completed: 0 };
  await using runner = new SqliteAgentRunner({ dbPath, logger: collectingLogger() });
  for (const [thread, plan] of plans.entries()) {
    const threadId = `t${thread}`;
    const { emitted, completed } = seen.get(thread) ?? { emitted: 0, completed: false };
    const replay = await replayOf(runner, threadId);
    await verifyWithClients(replay);
    const [row, ...others] = runRows(dbPath, threadId);
    expect(others).toEqual([]);
    const stored = eventsOf(row);
    if (row !== undefined) {
      expect(stored.findLast(isTerminal)).toBe(stored.at(-1));
      // Agents may emit RUN_STARTED again after a terminal event: no other event may follow it.
      const behind = stored.filter((_, at) => at > 0 && isTerminal(stored[at - 1] as ScriptEvent));
      expect(typesOf(behind).filter((type) => type !== "RUN_STARTED")).toEqual([]);
      const markers = markersIn(stored);
      const all = markersEmitted(plan, emitted);
      expect(markers).toEqual(all.slice(0, markers.length));
      const isInterrupted = stored.at(-1)?.code === "RUN_INTERRUPTED";
      if (completed) expect(markers).toEqual(all);
      if (completed) expect(isInterrupted).toBe(false);
      found[isInterrupted ? "interrupted" : "completed"]++;
    } else if (completed) {
      // Only a run without events is not stored.
      expect(plan).toEqual([]);
    }
    expect(
      typesOf(await runToEnd(runner, threadId, `after${thread}`, answeringAgent())).at(-1),
    ).toBe("RUN_FINISHED");
    const after = await replayOf(runner, threadId);
    await verifyWithClients(after);
    expect(runIdsIn(after).at(-1)).toBe(`after${thread}`);
  }
  expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
  expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
  return found;
}

it("with any events of agents, and at any moment of a kill, each thread stays valid", async () => {
  const total = { interrupted: 0, completed: 0 };
  const plans = fc.array(sequence, { minLength: THREADS, maxLength: THREADS });
  const isSound = fc.asyncProperty(plans, fc.nat(40), async (threads, turns) => {
    const directory = tempDirectory();
    const dbPath = join(directory, "threads.db");
    const paths = [join(directory, "plan.json"), join(directory, "record")] as const;
    writeFileSync(paths[0], JSON.stringify(threads));
    writeFileSync(paths[1], "");
    // As the child reads them: JSON has no undefined.
    const plan = JSON.parse(readFileSync(paths[0], "utf8")) as ScriptEvent[][];
    const child = spawnChild(process.execPath, [CHILD, dbPath, ...paths]);
    for (let turn = 0; turn < turns; turn++) if ((await nextLine(child)) === "done") break;
    await child.kill();
    expect((await child.exited).stderr).toBe("");
    const found = await checkFile(dbPath, plan, readRecord(paths[1]));
    total.interrupted += found.interrupted;
    total.completed += found.completed;
    rmSync(directory, { recursive: true });
  });
  // Eight kills may by chance all come early, or all late. Then there are more kills.
  for (let set = 0; set < 5 && (total.interrupted === 0 || total.completed === 0); set++) {
    // No shrinking, which would start many processes: the seed gives the same sequences again.
    await fc.assert(isSound, { numRuns: 8, endOnFailure: true });
  }
  // Otherwise the rounds would have tested nothing.
  expect(total.interrupted).toBeGreaterThan(0);
  expect(total.completed).toBeGreaterThan(0);
});
