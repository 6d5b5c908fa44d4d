import { ProgressBar, printTotals, type Totals } from "../support/fault-report.ts";
import type { RoundResult } from "./run-round.ts";

type Total = Totals<"rounds" | "completed" | "interrupted" | "violations">;

const SHOWN_PER_RULE = 3;

/** The report of a run of chaos rounds. */
export class Report {
  /** What `npm run chaos` has to be told to do the same. */
  readonly #same: string;
  readonly #rounds: number;
  readonly #totals = new Map<string, Total>();
  readonly #bar = new ProgressBar();
  #done = 0;

  constructor(store: string, seed: number, rounds: number) {
    this.#same = store === "sqlite" ? `--seed ${seed}` : `--store ${store} --seed ${seed}`;
    this.#rounds = rounds;
    console.log(`chaos: seed ${seed}, ${rounds} round(s)`);
  }

  get violations(): number {
    return [...this.#totals.values()].reduce((sum, { violations }) => sum + violations, 0);
  }

  begin(round: number, fault: string): void {
    this.#bar.draw(this.#done / this.#rounds, `round ${round}: ${fault}`);
  }

  end(round: number, fault: string, result: RoundResult): void {
    this.#done++;
    const { completed, interrupted, violations, ms } = result;
    const total = this.#totals.get(fault) ?? newTotal();
    this.#totals.set(fault, total);
    total.rounds++;
    total.completed += completed;
    total.interrupted += interrupted;
    total.violations += violations.length;
    total.ms += ms;
    this.#bar.clear();
    const outcome = violations.length === 0 ? "ok" : `${violations.length} VIOLATION(S)`;
    const runs = `${completed} completed, ${interrupted} interrupted`;
    const time = `${(ms / 1000).toFixed(1)} s`;
    const detail = result.detail === "" ? "" : ` (${result.detail.trim()})`;
    // On a terminal, only failed rounds keep a line. Successful rounds would scroll by.
    if (!this.#bar.isLive || violations.length > 0) {
      console.log(`round ${round} ${fault}: ${outcome}, ${runs}, ${time}${detail}`);
    }
    this.#explain(round, fault, result);
  }

  summarize(): void {
    printTotals([...this.#totals].sort(), newTotal());
  }

  #explain(round: number, fault: string, { violations, directory }: RoundResult): void {
    if (violations.length === 0) return;
    for (const [rule, all] of Map.groupBy(violations, (violation) => violation.rule)) {
      for (const { expected, seen } of all.slice(0, SHOWN_PER_RULE)) {
        console.log(`  ${rule}\n    expected: ${expected}\n    seen: ${seen}`);
      }
      const hidden = all.length - SHOWN_PER_RULE;
      if (hidden > 0) console.log(`  ${rule}: ${hidden} more`);
    }
    const again = `npm run chaos -- ${this.#same} --round ${round} --only ${fault}`;
    console.log(`  repeat: ${again}`);
    if (directory !== null) console.log(`  kept: ${directory}`);
  }
}

function newTotal(): Total {
  return { rounds: 0, completed: 0, interrupted: 0, violations: 0, ms: 0 };
}
