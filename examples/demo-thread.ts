import { isDeepStrictEqual } from "node:util";
import { EventType } from "@ag-ui/core";
import type { Seen, SeenRun } from "./demo-client.ts";

/** A thread of the demo: what its clients saw, in order of time. */
export interface Thread {
  readonly threadId: string;
  readonly question: string;
  /** The first run, which the kill may cut off. */
  first?: Seen;
  /** A second client, which connected in the middle of the first run. */
  joined?: Seen;
  /** A client that connects after the restart. */
  restored?: Seen;
  /** Another run, if the first run was cut off. */
  second?: Seen;
}

/** True if the first client got a terminal event, and then the proper end of its stream. */
export function isCompleted({ first }: Thread): boolean {
  return first?.failure === undefined && first?.runs[0]?.end !== undefined;
}

/** True if a client that connects after the restart misses events that the first client got. */
export function isLost({ first, restored }: Thread): boolean {
  const [run] = first?.runs ?? [];
  if (restored?.failure !== undefined) return true;
  const kept = restored?.runs.find(({ runId }) => runId === run?.runId);
  return (
    kept?.end?.type !== run?.end?.type || !isDeepStrictEqual(restored?.messages, first?.messages)
  );
}

/** True if a thread whose run was cut off cannot complete another run. */
export function isStuck({ second }: Thread): boolean {
  return second?.failure !== undefined || second?.runs[0]?.end?.type !== EventType.RUN_FINISHED;
}

export function outcomeOf({ end }: SeenRun): string {
  if (end === undefined) return "no end";
  if (end.type === EventType.RUN_ERROR)
    return end.code === "RUN_INTERRUPTED" ? "interrupted" : `error ${end.code}`;
  // The agent finishes with a result. Without one, it was the runner that ended the run.
  return end.result === undefined ? "stopped" : "finished";
}

/** All text of the agent in one string, which only grows while the agent answers. */
export function spokenIn(seen: Seen | undefined): string {
  let text = "";
  for (const message of seen?.messages ?? []) {
    if (message.role === "reasoning") text += message.content;
    if (message.role !== "assistant") continue;
    for (const call of message.toolCalls ?? []) text += call.function.arguments;
    text += message.content ?? "";
  }
  return text;
}
