import type { RunAgentInput } from "@ag-ui/core";
import fc from "fast-check";
import { expect } from "vitest";
import {
  EVERY_RESOURCE,
  type EventLike,
  type ExportRecord,
  fromNdjson,
  importThreads,
  type SqliteAgentRunner,
  withResource,
} from "../../src/index.ts";
import { interleavedRun, looseEvent } from "../events/random-runs.ts";
import { recordsOf, shownOf } from "./moving.ts";
import { collect } from "./open-runner.ts";
import { eventually } from "./poll.ts";
import { inputOf, type ScriptEvent, scriptedAgent } from "./scripted-agent.ts";

const THREADS = ["t", "a\0b", "\\u0000", "T", "t ", "😀/../", "x".repeat(2000)];
const RUN_IDS = ["r", "r#1", "\0", "s".repeat(600)];
const LONG = "A text that comes again in run after run. ".repeat(40);

interface Step {
  readonly kind: "run" | "run" | "title" | "metadata" | "archive" | "fork" | "purge";
  readonly thread: string;
  readonly runId: string;
  readonly events: readonly EventLike[];
  readonly messages: readonly string[];
  readonly resource: string | null;
  readonly isLong: boolean;
  readonly value: unknown;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    ...(["run", "run", "run", "run", "title", "metadata", "archive", "fork", "purge"] as const),
  ),
  thread: fc.constantFrom(...THREADS),
  runId: fc.constantFrom(...RUN_IDS),
  events: fc.oneof(interleavedRun, fc.array(looseEvent, { minLength: 1, maxLength: 12 })),
  messages: fc.uniqueArray(fc.constantFrom("u1", "u2", "u3", "\0", "m".repeat(700)), {
    maxLength: 4,
  }),
  resource: fc.constantFrom(null, null, "ann", "b\0b"),
  isLong: fc.boolean(),
  value: fc.jsonValue(),
});

function inResource<T>(resource: string | null, work: () => T): T {
  return resource === null ? work() : withResource(resource, work);
}

/** A run with random events, a long state and the messages of its client. */
function run(runner: SqliteAgentRunner, step: Step): Promise<ScriptEvent[]> {
  const { thread: threadId, runId, messages, isLong, value } = step;
  const state = isLong ? { long: LONG, value } : { value };
  const input = { ...inputOf(threadId, runId, messages), state } as RunAgentInput;
  const agent = scriptedAgent(function* () {
    yield* step.events as ScriptEvent[];
    if (isLong) yield { type: "STATE_SNAPSHOT", snapshot: { long: LONG, value } };
  });
  return inResource(step.resource, () => collect(runner.run({ threadId, agent, input })));
}

async function perform(runner: SqliteAgentRunner, step: Step): Promise<void> {
  const { kind, thread, value } = step;
  if (kind === "run") {
    await run(runner, step);
    return;
  }
  await withResource(EVERY_RESOURCE, async () => {
    const { threads } = runner;
    if (kind === "purge") {
      await runner.purge({ maxRunsPerThread: 2 });
    } else if ((await threads.get(thread)) !== null) {
      if (kind === "title") await threads.rename(thread, value === null ? null : "A title");
      if (kind === "metadata") await threads.setMetadata(thread, { a: 1, value });
      if (kind === "archive") await threads.archive(thread);
      if (kind === "fork") await threads.fork(thread);
    }
  });
}

/** The bytes of NDJSON, cut anywhere. */
function* cut(records: readonly ExportRecord[], length: number): Generator<Uint8Array> {
  const bytes = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** What an export says of runs. The messages that are told apart from them depend on what is indexed. */
function runsIn(records: readonly ExportRecord[]): unknown[] {
  return records.filter(({ type }) => type === "thread" || type === "run" || type === "events");
}

/** Opens an empty runner. */
export type Open = () => SqliteAgentRunner;

/**
 * Checks that random threads are the same after a move, and so is what comes of their next runs. `isSameStore`:
 * whether what lists tell of them is the same, too, to the byte.
 */
export async function checkRandomMoves(
  openSource: Open,
  openTarget: Open,
  { numRuns, isSameStore = false }: { readonly numRuns: number; readonly isSameStore?: boolean },
): Promise<void> {
  let moved = 0;
  const steps = fc.array(step, { minLength: 3, maxLength: 14 });
  const length = fc.integer({ min: 1, max: 5000 });
  const property = fc.asyncProperty(steps, length, async (steps, n) => {
    const [from, to] = [openSource(), openTarget()];
    try {
      for (const step of steps) await perform(from, step);
      const records = await recordsOf(from);
      const ids = records.flatMap((record) => (record.type === "thread" ? record.threadId : []));
      const result = await importThreads(to, fromNdjson(cut(records, n)));
      expect(result).toMatchObject({ threads: ids.length, skipped: 0 });
      moved += ids.length;
      for (const threadId of ids) {
        const [here, there] = await Promise.all(
          [from, to].map((runner) => recordsOf(runner, { threadIds: [threadId] })),
        );
        expect(runsIn(there ?? [])).toEqual(runsIn(here ?? []));
        if (isSameStore) await expectSameSummaries(from, to, threadId);
        expect(await toldOf(to, threadId)).toEqual(await toldOf(from, threadId));
      }
      // The next runs, some of which send messages again that the threads know.
      for (const step of steps.filter(({ kind }) => kind === "run")) {
        const [here, there] = [await run(from, step), await run(to, step)];
        expect(there).toEqual(here);
      }
      for (const threadId of ids) {
        expect(await toldOf(to, threadId)).toEqual(await toldOf(from, threadId));
      }
    } finally {
      await Promise.all([from.close(), to.close()]);
    }
  });
  await fc.assert(property, { numRuns });
  expect(moved).toBeGreaterThan(0);
}

/** What a store tells of a thread, without what a list derives from its runs. */
async function toldOf(runner: SqliteAgentRunner, threadId: string) {
  const { runs, inputs, events, messages, state } = await shownOf(runner, threadId);
  return { epochs: runs.map(({ epoch }) => epoch), inputs: inputs.length, events, messages, state };
}

/** What a list derives from runs is made in the background. */
async function expectSameSummaries(from: SqliteAgentRunner, to: SqliteAgentRunner, id: string) {
  await eventually(async () => {
    const [here, there] = [await shownOf(from, id), await shownOf(to, id)];
    return JSON.stringify(there) === JSON.stringify(here);
  });
}
