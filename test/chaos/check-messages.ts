import type { Evidence, Violation } from "./evidence.ts";

/**
 * Checks that the messages of a thread are known. The runs of the last process get all of them as their input,
 * and one more, like a client that sends its whole list: only that one may count as new.
 */
export function checkMessages({ runs }: Evidence): Violation[] {
  const violations: Violation[] = [];
  for (const { process, threadId, saw } of runs) {
    if (process.name !== CHECK) continue;
    const started = saw.find(({ type }) => type === "RUN_STARTED");
    const { messages = [] } = (started?.input ?? {}) as { messages?: readonly { id: string }[] };
    if (messages.length <= 1) continue;
    violations.push({
      rule: "messages-known",
      expected: `the messages of ${threadId} to be known, but for the last`,
      seen: `new: ${messages.map(({ id }) => id).join(", ")}`,
    });
  }
  return violations;
}

/** The name of the process that looks at the store when all others have ended. */
export const CHECK = "check";
