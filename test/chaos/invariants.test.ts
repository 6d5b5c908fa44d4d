import { describe, expect, it } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import type { Expectations, RoundFacts, Violation } from "./evidence.ts";
import { checkRound } from "./invariants.ts";
import type { Absence, ProcessHistory } from "./load-process.ts";
import type { LogEntry, LogRecord } from "./log.ts";
import type { JournalSegment, StoredRun, StoreSnapshot } from "./snapshot.ts";

type Told = LogEntry & { readonly at?: number };

/** A process of a made-up round. Records without a time are a millisecond apart. */
function processOf(
  name: string,
  records: readonly Told[],
  end: Partial<
    Pick<ProcessHistory, "killedAt" | "failure" | "absences" | "startedAt" | "heldAfterDeathMs">
  > = {},
): ProcessHistory {
  const timed = records.map((record, at) => ({ at: (at + 1) * 1000, ...record }) as LogRecord);
  const endedAt = Math.max(0, ...timed.map(({ at }) => at)) + 1000;
  const startedAt = timed[0]?.at ?? 0;
  return {
    name,
    records: timed,
    startedAt,
    endedAt,
    killedAt: null,
    absences: [],
    heldAfterDeathMs: 0,
    failure: null,
    ...end,
  };
}

const ids = (runId: string) => ({ threadId: "t", runId });

function answer(runId: string): EventLike[] {
  const messageId = `answer-${runId}`;
  return [
    { type: "RUN_STARTED", ...ids(runId) },
    { type: "STATE_SNAPSHOT", snapshot: { step: 1 } },
    { type: "STATE_DELTA", delta: [{ op: "replace", path: "/step", value: 2 }] },
    { type: "TOOL_CALL_START", toolCallId: `call-${runId}`, toolCallName: "search" },
    { type: "TOOL_CALL_ARGS", toolCallId: `call-${runId}`, delta: '{"a":' },
    { type: "TOOL_CALL_ARGS", toolCallId: `call-${runId}`, delta: "1}" },
    { type: "TOOL_CALL_END", toolCallId: `call-${runId}` },
    { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "one " },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "two" },
    { type: "TEXT_MESSAGE_END", messageId },
    { type: "RUN_FINISHED", ...ids(runId) },
  ];
}

/** The events that a runner stores for it. */
function compacted(runId: string): EventLike[] {
  const messageId = `answer-${runId}`;
  return [
    { type: "RUN_STARTED", ...ids(runId), input: { messages: [] } },
    { type: "TOOL_CALL_START", toolCallId: `call-${runId}`, toolCallName: "search" },
    { type: "TOOL_CALL_ARGS", toolCallId: `call-${runId}`, delta: '{"a":1}' },
    { type: "TOOL_CALL_END", toolCallId: `call-${runId}` },
    { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "one two" },
    { type: "TEXT_MESSAGE_END", messageId },
    { type: "STATE_SNAPSHOT", snapshot: { step: 2 } },
    { type: "RUN_FINISHED", ...ids(runId) },
  ];
}

/** The stored events of a run that was interrupted within its text. */
function interrupted(runId: string): EventLike[] {
  return [
    ...compacted(runId).slice(0, 5),
    { type: "TEXT_MESSAGE_CONTENT", messageId: `answer-${runId}`, delta: "one " },
    { type: "TEXT_MESSAGE_END", messageId: `answer-${runId}` },
    { type: "STATE_SNAPSHOT", snapshot: { step: 2 } },
    { type: "RUN_ERROR", message: "interrupted", code: "RUN_INTERRUPTED" },
  ];
}

const requested = (runId: string): Told => ({ what: "requested", ...ids(runId) });
const begun = (runId: string): Told => ({ what: "agent-started", ...ids(runId), shape: "talk" });
const ended = (runId: string): Told => ({ what: "agent-ended", runId });
const completed = (runId: string): Told => ({ what: "completed", runId });

function told(runId: string, events: readonly EventLike[]): Told[] {
  return events.flatMap((event): Told[] => [
    { what: "emit", runId, event },
    { what: "saw", runId, event },
  ]);
}

/** A run from its request to its commit. */
function wholeRun(runId: string, events = answer(runId)): Told[] {
  return [requested(runId), begun(runId), ...told(runId, events), ended(runId), completed(runId)];
}

/** A run whose process was killed before its end. */
function partOfRun(runId: string, length = 9): Told[] {
  return [requested(runId), begun(runId), ...told(runId, answer(runId).slice(0, length))];
}

function replay(events: readonly EventLike[], error?: string): Told {
  const broken = error === undefined ? {} : { error };
  return {
    what: "connected",
    threadId: "t",
    startedAt: 1_000_000,
    at: 1_001_000,
    events,
    ...broken,
  };
}

const rowOf = (runId: string, events = compacted(runId), id = 1): StoredRun => ({
  id,
  threadId: "t",
  epoch: id,
  runId,
  events: JSON.stringify(events),
});

interface Made {
  readonly processes?: readonly ProcessHistory[];
  readonly rows?: readonly StoredRun[];
  readonly journal?: readonly JournalSegment[];
  readonly before?: Partial<StoreSnapshot>;
  readonly after?: Partial<StoreSnapshot>;
  readonly expectations?: Expectations;
}

/** A round with one completed run, except for the given changes. */
function factsOf(made: Made = {}): RoundFacts {
  const runs = made.rows ?? [rowOf("r1")];
  const journal = made.journal ?? [];
  const threads = runs.length === 0 ? [] : [{ threadId: "t", runCount: runs.length }];
  const snapshot: StoreSnapshot = {
    integrity: "ok",
    runs,
    journal,
    running: [],
    kept: [],
    keepsJournals: false,
    threads,
  };
  return {
    processes: made.processes ?? [processOf("p", wholeRun("r1"))],
    before: { ...snapshot, ...made.before },
    after: { ...snapshot, ...made.after },
    expectations: made.expectations ?? {},
  };
}

async function rulesBrokenBy(made: Made): Promise<string[]> {
  const violations: Violation[] = await checkRound(factsOf(made));
  return [...new Set(violations.map(({ rule }) => rule))];
}

const killed = { killedAt: 500_000 };

describe("a round without errors", () => {
  it("breaks no rule with a completed run and its replay", async () => {
    const processes = [
      processOf("p", wholeRun("r1")),
      processOf("check", [replay(compacted("r1"))]),
    ];
    expect(await rulesBrokenBy({ processes })).toEqual([]);
  });

  it("breaks no rule with a prefix of an interrupted run", async () => {
    const processes = [processOf("p", partOfRun("r1"), killed)];
    expect(await rulesBrokenBy({ processes, rows: [rowOf("r1", interrupted("r1"))] })).toEqual([]);
    expect(await rulesBrokenBy({ processes, rows: [] })).toEqual([]);
  });

  it("breaks no rule with a run that was suspended, taken over, and ended with LEASE_LOST", async () => {
    expect(await rulesBrokenBy(overlap({ slept: true, noticed: true }))).toEqual([]);
  });
});

/** Runs of one id, which are distinguished by their names. */
function named(runName: string, events: readonly EventLike[]): EventLike[] {
  return events.map((event) =>
    event.type === "RUN_STARTED" ? { ...event, runId: "same", runName } : event,
  );
}

/** The first of two runs of one id was superseded by the second. */
function superseded(rows: readonly StoredRun[]): Made {
  const yielding = wholeRun("r1", named("r1", answer("r1"))).map((record) =>
    record.what === "requested" ? { ...record, yields: true } : record,
  );
  const aborted: Told = { what: "aborted", runId: "r1" };
  const first = processOf("p", [...yielding.slice(0, -2), aborted, ...yielding.slice(-2)]);
  const second = wholeRun("r2", named("r2", answer("r2"))).map((record, at) => {
    return { ...record, at: 1_000_000 + at };
  });
  return { processes: [first, processOf("q", second)], rows };
}

describe("a round in which run ids are used again", () => {
  const rows = ["r1", "r2"].map((name, at) => rowOf(name, named(name, compacted(name)), at + 1));

  it("breaks no rule when both runs are stored and replayed", async () => {
    const runs = ["r1", "r2"].flatMap((name) => wholeRun(name, named(name, answer(name))));
    const shown = replay(["r1", "r2"].flatMap((name) => named(name, compacted(name))));
    const processes = [processOf("p", runs), processOf("check", [shown])];
    expect(await rulesBrokenBy({ processes, rows })).toEqual([]);
  });

  it("breaks no rule when the superseded run is not stored", async () => {
    expect(await rulesBrokenBy(superseded(rows.slice(1)))).toEqual([]);
  });

  it("shows that a superseded run was stored", async () => {
    expect(await rulesBrokenBy(superseded(rows))).toEqual(["discarded-is-gone"]);
  });

  it("shows that a run was stored twice", async () => {
    const [first, second] = rows as [StoredRun, StoredRun];
    const twice = [first, { ...second, runId: "r1", events: first.events }];
    const runs = wholeRun("r1", named("r1", answer("r1")));
    expect(await rulesBrokenBy({ processes: [processOf("p", runs)], rows: twice })).toEqual([
      "stored-once",
    ]);
  });

  it("shows that a run was stored with events of another run of the same id", async () => {
    const [first] = rows as [StoredRun];
    const mixed = named("r1", compacted("r1")).map((event) =>
      event.type === "TEXT_MESSAGE_CONTENT" ? { ...event, messageId: "answer-r2" } : event,
    );
    const processes = [processOf("p", wholeRun("r1", named("r1", answer("r1"))))];
    const changed = [{ ...first, events: JSON.stringify(mixed) }];
    expect(await rulesBrokenBy({ processes, rows: changed })).toEqual(["completed-is-kept"]);
  });
});

describe("of processes and the file, it is reported that", () => {
  const cases: readonly (readonly [what: string, rule: string, made: Made])[] = [
    [
      "a process died",
      "process-ends",
      { processes: [processOf("p", wholeRun("r1"), { failure: "exit code 1" })] },
    ],
    [
      "a dead run was not recovered on open",
      "recovered-on-open",
      { processes: [processOf("p", [...wholeRun("r1"), { what: "opened", running: 1 }])] },
    ],
    ["the file was corrupt before", "integrity", { before: { integrity: "row 1 missing" } }],
    ["the file is corrupt", "integrity", { after: { integrity: "row 1 missing" } }],
    ["a thread is held", "threads-are-free", { after: { running: [{ threadId: "t", epoch: 2 }] } }],
    [
      "the count of runs is wrong",
      "run-count",
      { after: { threads: [{ threadId: "t", runCount: 2 }] } },
    ],
    ["a thread is not counted", "run-count", { after: { threads: [] } }],
    ["a row changed", "rows-stay", { before: { runs: [rowOf("r1", interrupted("r1"))] } }],
    ["a row went away", "rows-stay", { before: { runs: [rowOf("r1"), rowOf("r0", [], 2)] } }],
    ["runs of before the round are gone", "old-runs-stay", { expectations: { oldRuns: 3 } }],
    [
      "a journal belongs to no run",
      "journal",
      { journal: [{ threadId: "t", epoch: 2, seq: 0, events: "[]" }] },
    ],
    [
      "a journal is left",
      "journal",
      { journal: [{ threadId: "t", epoch: 1, seq: 0, events: "[]" }] },
    ],
    [
      "a journal was written to after the end of its run",
      "journal",
      {
        processes: [processOf("p", wholeRun("r1")), processOf("q", [], { startedAt: 2000 })],
        journal: [
          {
            threadId: "t",
            epoch: 1,
            seq: 0,
            events: JSON.stringify([
              { type: "TEXT_MESSAGE_CONTENT", messageId: "answer-r1", delta: "one two three" },
            ]),
          },
        ],
      },
    ],
  ];
  it.each(cases)("%s", async (_, rule, made) => {
    expect(await rulesBrokenBy(made)).toEqual([rule]);
  });
});

/** A stream that ended with an error, without a stored run. */
function endedWith(code: string, { completes = true } = {}): Made {
  const error = { type: "RUN_ERROR", message: "no", code };
  const records = [requested("r1"), { what: "saw", runId: "r1", event: error } as const];
  return {
    processes: [processOf("p", completes ? [...records, completed("r1")] : records)],
    rows: [],
  };
}

describe("of a client's stream, it is reported that it", () => {
  it("never completed", async () => {
    const records = wholeRun("r1").slice(0, -1);
    expect(await rulesBrokenBy({ processes: [processOf("p", records)] })).toEqual([
      "stream-completes",
    ]);
  });

  it("broke", async () => {
    const broken: Told = { what: "completed", runId: "r1", error: "Error: no" };
    const records = [...wholeRun("r1").slice(0, -1), broken];
    expect(await rulesBrokenBy({ processes: [processOf("p", records)] })).toEqual([
      "stream-completes",
    ]);
  });

  it("has two terminal events", async () => {
    const events = [
      ...answer("r1"),
      { type: "RUN_ERROR", message: "and", code: "INCOMPLETE_STREAM" },
    ];
    const rules = await rulesBrokenBy({ processes: [processOf("p", wholeRun("r1", events))] });
    expect(rules).toContain("one-terminal-event");
  });

  it("has events after its terminal event", async () => {
    const events = [...answer("r1"), { type: "CUSTOM", name: "late", value: 1 }];
    const rules = await rulesBrokenBy({ processes: [processOf("p", wholeRun("r1", events))] });
    expect(rules).toContain("one-terminal-event");
  });

  it.each(["PERSISTENCE_FAILED", "LEASE_LOST", "STORE_FAILED", "BUSY", "WRITER_FAILED"])(
    "ended with %s",
    async (code) => {
      expect(await rulesBrokenBy(endedWith(code))).toEqual(["no-store-error"]);
    },
  );

  it("was refused a free thread", async () => {
    expect(await rulesBrokenBy(endedWith("THREAD_ALREADY_RUNNING"))).toEqual(["no-store-error"]);
  });

  /** Both p and q are refused the thread. In some cases, p was stopped while it claimed the thread. */
  const refusedByEachOther = (absences: Absence[]): Made => {
    const refused = { type: "RUN_ERROR", message: "no", code: "THREAD_ALREADY_RUNNING" };
    const ask = (runId: string, from: number, to: number): Told[] => [
      { ...requested(runId), at: from },
      { what: "saw", runId, event: refused, at: to },
      { ...completed(runId), at: to },
    ];
    return {
      processes: [
        processOf("p", ask("r1", 1000, 30_000), { absences }),
        processOf("q", ask("r2", 6000, 7000)),
      ],
      rows: [],
    };
  };

  it("was refused a free thread, although another run was refused it too", async () => {
    expect(await rulesBrokenBy(refusedByEachOther([]))).toContain("no-store-error");
  });

  it("was refused a thread, unless a stopped process may have claimed it before", async () => {
    const made = refusedByEachOther([{ from: 2000, to: 20_000 }]);
    const rules = await rulesBrokenBy(made);
    // The refusal of the suspended process remains, since no process took over its thread in this round.
    expect(rules.filter((rule) => rule === "no-store-error")).toHaveLength(1);
  });

  it("failed, although its agent did not", async () => {
    expect(await rulesBrokenBy(endedWith("INCOMPLETE_STREAM"))).toEqual(["no-other-error"]);
  });
});

/** A run of p on whose thread q executes another one, before the first has ended. */
function overlap({ slept, noticed }: { slept: boolean; noticed: boolean }): Made {
  const lost: EventLike = { type: "RUN_ERROR", message: "lost", code: "LEASE_LOST" };
  const first: Told[] = noticed
    ? [...partOfRun("r1"), { what: "saw", runId: "r1", event: lost }, ended("r1"), completed("r1")]
    : wholeRun("r1");
  const absences: Absence[] = slept ? [{ from: 5000, to: 20_000 }] : [];
  const second = wholeRun("r2").map((record, at) => ({ ...record, at: 6000 + at }));
  return {
    processes: [processOf("p", first, { absences }), processOf("q", second)],
    rows: [rowOf("r1", noticed ? interrupted("r1") : compacted("r1")), rowOf("r2", undefined, 2)],
    expectations: { losers: ["p"] },
  };
}

/** A run of p has its claim when p is stopped, and begins when q executes another one. */
function lateBegin({ noticed }: { noticed: boolean }): Made {
  const lost: EventLike = { type: "RUN_ERROR", message: "lost", code: "LEASE_LOST" };
  const events = [...answer("r2"), ...(noticed ? [lost] : [])];
  const late = wholeRun("r2", events).map((record, at) => ({ ...record, at: 9000 + at }));
  const [asked, ...rest] = late;
  const absences: Absence[] = [{ from: 2000, to: 8900 }];
  const records = [{ ...(asked as Told), at: 1000 }, ...rest];
  const rows = noticed ? [rowOf("r1")] : [rowOf("r1"), rowOf("r2", undefined, 2)];
  const other = processOf("q", wholeRun("r1"), { startedAt: 1 });
  return { processes: [processOf("p", records, { absences }), other], rows, ...LOSER };
}

const LOSER = { expectations: { losers: ["p"] } };

it("breaks no rule when a run begins late, and is told that its thread was lost", async () => {
  expect(await rulesBrokenBy(lateBegin({ noticed: true }))).toEqual([]);
  expect(await rulesBrokenBy(lateBegin({ noticed: false }))).toEqual(["lease-lost"]);
});

describe("of a thread, it is reported that", () => {
  it("two processes executed agents on it at the same time", async () => {
    expect(await rulesBrokenBy(overlap({ slept: false, noticed: true }))).toEqual(["one-owner"]);
  });

  it("a suspended process was not told that it had lost the thread", async () => {
    expect(await rulesBrokenBy(overlap({ slept: true, noticed: false }))).toEqual(["lease-lost"]);
  });
});

function storedAs(events: readonly EventLike[]): Made {
  return { rows: [rowOf("r1", [...events])] };
}

const withDelta = (type: string, delta: string) =>
  compacted("r1").map((event) => (event.type === type ? { ...event, delta } : event));

describe("of a completed run, it is reported that", () => {
  const cases: readonly (readonly [what: string, made: Made])[] = [
    ["it is missing", { rows: [] }],
    ["its text differs", storedAs(withDelta("TEXT_MESSAGE_CONTENT", "one three"))],
    ["its text is longer", storedAs(withDelta("TEXT_MESSAGE_CONTENT", "one two three"))],
    ["its text is cut", storedAs(withDelta("TEXT_MESSAGE_CONTENT", "one "))],
    ["its tool arguments differ", storedAs(withDelta("TOOL_CALL_ARGS", '{"a":2}'))],
    [
      "its state differs",
      storedAs(
        compacted("r1").map((event) =>
          event.type === "STATE_SNAPSHOT" ? { ...event, snapshot: { step: 1 } } : event,
        ),
      ),
    ],
    [
      "an event is missing",
      storedAs(compacted("r1").filter(({ type }) => type !== "TOOL_CALL_END")),
    ],
    ["only a part of it is there", storedAs(interrupted("r1"))],
  ];
  it.each(cases)("%s", async (_, made) => {
    expect(await rulesBrokenBy(made)).toEqual(["completed-is-kept"]);
  });
});

describe("of a stored run, it is reported that", () => {
  const dead = [processOf("p", partOfRun("r1"), killed)];

  it("it is no prefix of the emitted events", async () => {
    const events = interrupted("r1").map((event) =>
      event.type === "TEXT_MESSAGE_CONTENT" ? { ...event, delta: "two" } : event,
    );
    expect(await rulesBrokenBy({ processes: dead, rows: [rowOf("r1", events)] })).toEqual([
      "prefix",
    ]);
  });

  it("it lacks events in the middle", async () => {
    const events = interrupted("r1").filter(({ type }) => !type.startsWith("TOOL_CALL"));
    expect(await rulesBrokenBy({ processes: dead, rows: [rowOf("r1", events)] })).toEqual([
      "prefix",
    ]);
  });

  it("its state is one that the run never had until then", async () => {
    const events = interrupted("r1").map((event) =>
      event.type === "STATE_SNAPSHOT" ? { ...event, snapshot: { step: 1 } } : event,
    );
    expect(await rulesBrokenBy({ processes: dead, rows: [rowOf("r1", events)] })).toEqual([
      "prefix",
    ]);
  });

  it("it was interrupted, but ends like a completed run", async () => {
    const end = { type: "RUN_FINISHED", ...ids("r1") };
    const rows = [rowOf("r1", [...interrupted("r1").slice(0, -1), end])];
    expect(await rulesBrokenBy({ processes: dead, rows })).toEqual(["prefix"]);
  });

  it("it has two terminal events", async () => {
    const events = interrupted("r1");
    const rows = [rowOf("r1", [...events, ...events.slice(-1)])];
    expect(await rulesBrokenBy({ processes: dead, rows })).toContain("one-terminal-event");
  });

  it("no client had requested it", async () => {
    const rows = [rowOf("r1"), rowOf("r1#2", undefined, 2)];
    expect(await rulesBrokenBy({ rows })).toEqual(["nothing-invented"]);
  });

  it("it is missing, although it was committed before a kill", async () => {
    const batch = { claim: [], append: ["1 t"], finish: [] };
    const fault: Told = { what: "fault", fault: "kill", point: "after commit-append", batch };
    const processes = [processOf("p", [...partOfRun("r1"), fault], killed)];
    expect(await rulesBrokenBy({ processes, rows: [] })).toEqual(["committed-is-kept"]);
  });
});

it("is reported that a message of a thread was not known", async () => {
  const asking = (...messageIds: string[]) => {
    const input = { messages: messageIds.map((id) => ({ id, role: "user", content: "?" })) };
    const withInput = (events: readonly EventLike[]) =>
      events.map((event) => (event.type === "RUN_STARTED" ? { ...event, input } : event));
    const later = wholeRun("r2", withInput(answer("r2"))).map((record, at) => {
      return { ...record, at: 1_000_000 + at };
    });
    const processes = [processOf("p", wholeRun("r1")), processOf("check", later)];
    return { processes, rows: [rowOf("r1"), rowOf("r2", withInput(compacted("r2")), 2)] };
  };
  expect(await rulesBrokenBy(asking("question"))).toEqual([]);
  expect(await rulesBrokenBy(asking("answer-r1", "question"))).toEqual(["messages-known"]);
});

describe("of a replay, it is reported that", () => {
  const cases: readonly (readonly [what: string, rule: string, shown: Told])[] = [
    ["it broke", "replay-completes", replay(compacted("r1"), "Error: no")],
    [
      "it had an error of the store",
      "replay-completes",
      replay([...compacted("r1"), { type: "RUN_ERROR", message: "no", code: "READER_DIED" }]),
    ],
    [
      "a client does not accept it",
      "replay-verifies",
      replay(compacted("r1").filter(({ type }) => type !== "TEXT_MESSAGE_END")),
    ],
    ["a run is there twice", "replay-once", replay([...compacted("r1"), ...compacted("r1")])],
    [
      "it says what nobody said",
      "replay-is-true",
      replay(withDelta("TEXT_MESSAGE_CONTENT", "something else")),
    ],
    ["a completed run is missing", "replay-is-complete", replay([])],
  ];
  it.each(cases)("%s", async (_, rule, shown) => {
    const processes = [processOf("p", wholeRun("r1")), processOf("check", [shown])];
    expect(await rulesBrokenBy({ processes })).toContain(rule);
  });

  it("it could not reach the store, unless its process was cut off", async () => {
    const shown = replay([{ type: "RUN_ERROR", message: "no", code: "CANNOT_CONNECT" }]);
    const of = (absences: Absence[]) => {
      const processes = [processOf("p", wholeRun("r1")), processOf("q", [shown], { absences })];
      return rulesBrokenBy({ processes, rows: [rowOf("r1")] });
    };
    expect(await of([])).toContain("replay-completes");
    expect(await of([{ from: 1_000_500, to: 1_002_000 }])).toEqual(["replay-is-complete"]);
  });
});
