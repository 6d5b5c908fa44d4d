import type { ClaimOp, WriterOp } from "../../protocol/messages.ts";

/** What an operation weighs beside its JSON: its ids, and its place in the queue. */
const OVERHEAD_BYTES = 200;

/** What an operation that waits counts as, in bytes. */
export function sizeOf(op: WriterOp): number {
  switch (op.kind) {
    case "claim":
      return OVERHEAD_BYTES + idsLength(op);
    case "append":
    case "finish":
      return OVERHEAD_BYTES + op.events.length + (op.input?.length ?? 0);
    case "compact":
    case "release":
    case "withdraw":
    case "giveUp":
    case "confirm":
    case "stop":
      return OVERHEAD_BYTES;
  }
}

/** How much of a journal the writer has to read for an operation, in UTF-16 units. */
export function journalReadBy(op: WriterOp): number {
  if (op.kind === "finish") return op.unread;
  return op.kind === "compact" ? op.length : 0;
}

function idsLength(op: ClaimOp): number {
  let length = 0;
  for (const id of op.messageIds) length += id.length;
  return length;
}
