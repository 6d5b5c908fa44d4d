import { type EventLike, isTerminal } from "../../src/events/event.ts";
import { compareWithSaid } from "../chaos/content.ts";
import { STORE_CODES } from "../chaos/runs.ts";
import type { MemoryDatabase } from "../support/memory-database.ts";
import type { Facts, RunRecord } from "./records.ts";

/** A run as it is in the database. */
export interface StoredRun {
  readonly threadId: string;
  readonly runId: string;
  readonly events: readonly EventLike[];
  /** `RunRecord.number`, or null: the agent of a run that was stopped early says nothing. */
  readonly number: number | null;
}

/** By the facts of a schedule, the runs that are stored: several checks ask for them. */
const known = new WeakMap<Facts, readonly StoredRun[]>();

export function storedRuns(facts: Facts): readonly StoredRun[] {
  const runs = known.get(facts) ?? readRuns(facts.database);
  known.set(facts, runs);
  return runs;
}

function readRuns({ threads }: MemoryDatabase): StoredRun[] {
  return Array.from(threads, ([threadId, { runs }]) =>
    runs.map(({ runId, events: json }) => {
      const events = JSON.parse(json) as EventLike[];
      return { threadId, runId, events, number: numberIn(events) };
    }),
  ).flat();
}

/** Which run events are of. */
export function numberIn(events: readonly EventLike[]): number | null {
  for (const { number, messageId, input } of events) {
    if (typeof number === "number") return number;
    if (typeof messageId === "string") return Number(messageId.slice(1));
    const { messages = [] } = (input ?? {}) as { messages?: { id: string }[] };
    const [question] = messages;
    if (question !== undefined) return Number(question.id.slice("question-".length));
  }
  return null;
}

/** The store's own code with which a run ended for its client, or null. */
export function storeCodeOf({ saw }: Pick<RunRecord, "saw">): string | null {
  const last = saw.at(-1);
  return last?.type === "RUN_ERROR" && STORE_CODES.has(last.code) ? String(last.code) : null;
}

/** What of a run may be kept, whole: with the end that its runner told its client, or without. */
function versionsOf(run: RunRecord): EventLike[][] {
  const code = storeCodeOf(run);
  if (code === null) return [run.saw];
  const cut = run.saw.slice(0, -1);
  const end = cut.findIndex(isTerminal);
  return end === -1 ? [cut, run.saw] : [cut];
}

/** What is wrong with events that are kept or replayed of a run, or null. */
export function compareWithRun(
  events: readonly EventLike[],
  run: RunRecord,
): { readonly whole: boolean; readonly problem: string | null } {
  // The write path gives up what cannot be stored whole: it ends as a run whose process died.
  const last = events.at(-1);
  const isGivenUp = last?.code === "PERSISTENCE_FAILED";
  const kept = isGivenUp ? [...events.slice(0, -1), { ...last, code: "RUN_INTERRUPTED" }] : events;
  const compared = versionsOf(run).map((said) => compareWithSaid(kept, said));
  const fitting = compared.filter(({ problem }) => problem === null);
  return fitting.find(({ whole }) => whole) ?? fitting[0] ?? compared[0] ?? none;
}

const none = { whole: false, problem: "nothing was said" };
