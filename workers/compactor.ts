import type { CompactorReply, CompactorRequest } from "../src/protocol/compactor-messages.ts";
import { toRunStoreError } from "../src/protocol/errors.ts";
import type { Reply } from "../src/protocol/messages.ts";
import { compactJournal, cutRun } from "../src/runs/compact-journal.ts";
import { makeFacts } from "../src/runs/facts-step.ts";
import { makeRunInput } from "../src/runs/run-input.ts";
import { makeViewStep } from "../src/runs/view-step.ts";

/** Computes what would block the main thread of a runner whose store has no writer thread. */
export default function serve(request: CompactorRequest): Reply<CompactorReply> {
  try {
    return { ok: true, value: answer(request) };
  } catch (error) {
    const { code, message } = toRunStoreError(error);
    return { ok: false, fault: { code, message } };
  }
}

function answer(request: CompactorRequest): CompactorReply {
  switch (request.kind) {
    case "compact":
      return compactJournal(request);
    case "cut":
      return cutRun(request.events);
    case "view":
      return makeViewStep(request);
    case "facts":
      return makeFacts(request);
    case "input":
      return makeRunInput(request);
  }
}
