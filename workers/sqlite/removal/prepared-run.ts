import { isSnapshot } from "../../../src/events/shared/repeating.ts";
import {
  type TakenOut,
  takeOutOfEvents,
  takeOutOfInput,
} from "../../../src/events/shared/take-out.ts";
import type { MovedRun } from "../../../src/protocol/moved-threads.ts";
import { ImportedRun, joinEvents } from "../../../src/runs/moved-run.ts";

interface TakenEvents extends TakenOut {
  /** How many events are in the rest. */
  readonly kept: number;
}

/** A run that is imported, made ready for its row. */
export class PreparedRun extends ImportedRun<TakenEvents> {
  constructor(run: MovedRun) {
    super(run, (events) => {
      const taken = takeOutOfEvents(events);
      const snapshots = taken.values.filter(({ slot }) => isSnapshot(slot)).length;
      return { ...taken, kept: events.length - snapshots };
    });
  }

  takenOut(): { readonly events: TakenOut; readonly input: TakenOut } {
    const input = takeOutOfInput(this.run.input);
    const { taken } = this;
    if (taken === null) return { events: { rest: this.events, values: [] }, input };
    const values: TakenOut["values"][number][] = [];
    let kept = 0;
    for (const part of taken) {
      for (const value of part.values) values.push({ ...value, index: value.index + kept });
      kept += part.kept;
    }
    return { events: { rest: joinEvents(taken.map(({ rest }) => rest)), values }, input };
  }
}
