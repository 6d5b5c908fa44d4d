import type { ClaimOp, WriterOp } from "../../protocol/messages.ts";

/** Bytes that an operation counts in addition to its JSON: its ids, and its queue entry. */
const OVERHEAD_BYTES = 200;

/** The bytes that a waiting operation counts. A UTF-16 unit of JSON counts as a byte. */
export function sizeOf(op: WriterOp): number {
  switch (op.kind) {
    case "claim":
      return OVERHEAD_BYTES + idsLength(op);
    case "append":
    case "finish":
      return OVERHEAD_BYTES + op.events.length + (op.input?.length ?? 0);
    case "updateThread":
      return OVERHEAD_BYTES + JSON.stringify(op.change).length;
    case "compact":
    case "release":
    case "withdraw":
    case "giveUp":
    case "confirm":
    case "stop":
    case "take":
    case "settle":
      return OVERHEAD_BYTES;
  }
}

/** UTF-16 units of a journal that the writer has to read for an operation. */
export function journalReadBy(op: WriterOp): number {
  if (op.kind === "finish") return op.unread;
  return op.kind === "compact" ? op.length : 0;
}

function idsLength(op: ClaimOp): number {
  let length = 0;
  for (const id of op.messageIds) length += id.length;
  return length;
}
