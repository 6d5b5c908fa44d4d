import { UNKNOWN_DIGEST } from "../events/message-digests.ts";
import type { ClaimOp, ClaimResult } from "../protocol/messages.ts";

/**
 * Which messages of a claim the thread has stored already, and which of these with another content.
 * `digestOf` gives the stored digest of a message, or undefined.
 */
export function messagesSeen(
  { messageIds, messageDigests }: Pick<ClaimOp, "messageIds" | "messageDigests">,
  digestOf: (messageId: string) => number | undefined,
): Pick<ClaimResult, "seen" | "changed"> {
  const changed: number[] = [];
  const seen = messageIds.map((id, at) => {
    const stored = digestOf(id);
    const given = messageDigests[at] ?? UNKNOWN_DIGEST;
    const isComparable = given !== UNKNOWN_DIGEST && stored !== UNKNOWN_DIGEST;
    if (stored !== undefined && isComparable && stored !== given) changed.push(at);
    return stored !== undefined;
  });
  return { seen, changed };
}
