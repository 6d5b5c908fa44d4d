import type { CompactorReply, CompactorRequest } from "../src/protocol/compactor-messages.ts";
import { toRunStoreError } from "../src/protocol/errors.ts";
import type { Reply } from "../src/protocol/messages.ts";
import { compactJournal, cutRun } from "../src/runs/compact-journal.ts";

/** Computes what would block the main thread of a runner whose store has no writer thread. */
export default function serve(request: CompactorRequest): Reply<CompactorReply> {
  try {
    const value = request.kind === "cut" ? cutRun(request.events) : compactJournal(request);
    return { ok: true, value };
  } catch (error) {
    const { code, message } = toRunStoreError(error);
    return { ok: false, fault: { code, message } };
  }
}
