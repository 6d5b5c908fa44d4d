import type { EventItem } from "../../api.ts";
import { short } from "../conversation/text-of.ts";

/** Fields that say the most of an event, in the order in which they are looked for. */
const FIELDS = [
  "delta",
  "content",
  "toolCallName",
  "message",
  "stepName",
  "name",
  "activityType",
  "snapshot",
  "messages",
  "value",
  "event",
  "runId",
  "messageId",
  "toolCallId",
];

/** What an event is about, on one line. */
export function summaryOf({ event, preview }: EventItem): string {
  if (event === null) return short(preview ?? "");
  const name = FIELDS.find((field) => event[field] !== undefined && event[field] !== "");
  if (name === undefined) return "";
  const value = event[name];
  return short(typeof value === "string" ? value : JSON.stringify(value));
}

export type Family = "run" | "text" | "tool" | "reasoning" | "state" | "error" | "other";

/** The kind of an event, by which it is coloured. */
export function familyOf(type: string): Family {
  if (type === "RUN_ERROR") return "error";
  if (/^(RUN|STEP)_/.test(type)) return "run";
  if (type.startsWith("TEXT_")) return "text";
  if (type.startsWith("TOOL_")) return "tool";
  if (/^(REASONING|THINKING)_/.test(type)) return "reasoning";
  if (/^(STATE|MESSAGES|ACTIVITY)_/.test(type)) return "state";
  return "other";
}
