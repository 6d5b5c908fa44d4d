import type { EventLike } from "../event.ts";
import { isFields, withoutNullTag } from "./message.ts";

/** The interrupts that are pending after `event`, a RUN_FINISHED. */
export function interruptsAfter(event: EventLike): unknown[] {
  const { outcome } = event;
  if (!isFields(outcome) || outcome.type !== "interrupt") return [];
  if (!Array.isArray(outcome.interrupts)) return [];
  return (outcome.interrupts as unknown[]).filter(isFields).map(withoutNullTag);
}
