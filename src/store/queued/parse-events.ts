import type { EventLike } from "../../events/event.ts";
import type { Logger } from "../../protocol/logger.ts";

/** Parses stored events. Unreadable events give an empty list and a log entry with the fields `run`. */
export function parseEvents(
  json: string,
  logger: Logger,
  run: Readonly<Record<string, unknown>>,
): readonly EventLike[] {
  try {
    const events: unknown = JSON.parse(json);
    if (Array.isArray(events)) return events as readonly EventLike[];
  } catch (error) {
    logger.error({ err: error, ...run }, "a stored run cannot be read");
    return [];
  }
  logger.error({ ...run }, "a stored run holds no list of events");
  return [];
}
