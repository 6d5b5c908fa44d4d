import { checkFacts } from "./invariants.ts";
import type { Plan } from "./plan.ts";
import type { Violation } from "./records.ts";
import { VirtualTime } from "./virtual-time.ts";
import { World } from "./world.ts";

export interface Outcome {
  readonly violations: readonly Violation[];
  readonly timeline: readonly string[];
  readonly runs: number;
}

/** Executes schedules in this thread, whose timers it takes over for good. */
export class Simulator {
  readonly #time = new VirtualTime();
  #uncaught: unknown[] = [];

  constructor() {
    for (const name of ["unhandledRejection", "uncaughtException"] as const) {
      process.on(name, (error: unknown) => void this.#uncaught.push(error));
    }
    this.#time.install();
  }

  async run(plan: Plan, { hasTimeline = false } = {}): Promise<Outcome> {
    this.#uncaught = [];
    const world = new World(this.#time, plan, { hasTimeline });
    const facts = await world.run(this.#uncaught);
    const violations = await checkFacts(facts);
    return { violations, timeline: facts.timeline, runs: facts.runs.length };
  }
}
