import { spanReader } from "../src/events/shared/span-texts.ts";
import { readStoredEvents } from "../src/events/shared/stored-values.ts";
import type { CompactorReply, CompactorRequest } from "../src/protocol/compactor-messages.ts";
import { toRunStoreError } from "../src/protocol/errors.ts";
import type { Reply } from "../src/protocol/messages.ts";
import { compactJournal } from "../src/runs/compact-journal.ts";
import { makeFacts } from "../src/runs/facts-step.ts";
import { cutRow } from "../src/runs/history-row.ts";
import { LongJournals } from "../src/runs/long-journals.ts";
import { importedRun, movedTexts } from "../src/runs/moved-run.ts";
import { makeRunInput } from "../src/runs/run-input.ts";
import { SharedRuns } from "../src/runs/shared-runs.ts";
import { sweepOf } from "../src/runs/sweep-values.ts";
import { makeViewStep } from "../src/runs/view-step.ts";

const shared = new SharedRuns();
const long = new LongJournals();

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
    case "ahead":
      return long.add(request);
    case "rest":
      return long.finish(request);
    case "cut":
      return cutRow(request.run, request.forReplay, spanReader(request.chunks));
    case "read":
      return readStoredEvents(request.run, spanReader(request.chunks));
    case "move":
      return movedTexts(request.run, spanReader(request.chunks));
    case "import":
      return importedRun(request.run);
    case "view":
      return makeViewStep(request);
    case "facts":
      return makeFacts(request);
    case "input":
      return makeRunInput(request);
    case "share":
      return request.threads.map((thread) => shared.share(thread));
    case "sweep":
      return sweepOf(request);
  }
}
