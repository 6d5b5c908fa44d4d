import type { RunKey } from "../../protocol/run-key.ts";
import { RunList } from "./run-list.ts";

export interface HeldRun extends RunKey {
  /** See `RunList`. */
  heldAt: number;
}

/** The runs that hold a thread for a store. */
export class HeldRuns<Run extends HeldRun> extends RunList<"heldAt", Run> {
  constructor() {
    super("heldAt");
  }

  /** Searches the whole list, which only requests of other instances need. */
  find({ threadId, epoch }: RunKey): Run | undefined {
    for (const run of this) if (run.threadId === threadId && run.epoch === epoch) return run;
    return undefined;
  }
}
