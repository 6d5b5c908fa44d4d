import type { RoundResult } from "./run-round.ts";

interface Total {
  rounds: number;
  completed: number;
  interrupted: number;
  violations: number;
  ms: number;
}

const SHOWN_PER_RULE = 3;
const BAR_WIDTH = 24;

/** What the one who watches is told. */
export class Report {
  readonly #seed: number;
  readonly #rounds: number;
  readonly #totals = new Map<string, Total>();
  readonly #isLive = process.stdout.isTTY === true;
  #done = 0;

  constructor(seed: number, rounds: number) {
    this.#seed = seed;
    this.#rounds = rounds;
    console.log(`chaos: seed ${seed}, ${rounds} round(s)`);
  }

  get violations(): number {
    return [...this.#totals.values()].reduce((sum, { violations }) => sum + violations, 0);
  }

  begin(round: number, fault: string): void {
    if (!this.#isLive) return;
    const filled = Math.round((this.#done / this.#rounds) * BAR_WIDTH);
    const bar = "#".repeat(filled).padEnd(BAR_WIDTH, ".");
    process.stdout.write(`\r\x1b[K[${bar}] round ${round}: ${fault}`);
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
    if (this.#isLive) process.stdout.write("\r\x1b[K");
    const outcome = violations.length === 0 ? "ok" : `${violations.length} VIOLATION(S)`;
    const runs = `${completed} completed, ${interrupted} interrupted`;
    const time = `${(ms / 1000).toFixed(1)} s`;
    const detail = result.detail === "" ? "" : ` (${result.detail.trim()})`;
    // Whole rounds would scroll by on a terminal: only those that failed stay.
    if (!this.#isLive || violations.length > 0) {
      console.log(`round ${round} ${fault}: ${outcome}, ${runs}, ${time}${detail}`);
    }
    this.#explain(round, fault, result);
  }

  summarize(): void {
    const head = ["fault", "rounds", "completed", "interrupted", "violations", "time"];
    const rows = [...this.#totals].sort().map(([fault, total]) => toCells(fault, total));
    const sum = newTotal();
    for (const total of this.#totals.values()) {
      for (const key of Object.keys(sum) as (keyof Total)[]) sum[key] += total[key];
    }
    const table = [head, ...rows, toCells("all", sum)];
    const widths = head.map((_, at) => Math.max(...table.map((cells) => cells[at]?.length ?? 0)));
    console.log("");
    for (const cells of table) {
      const padded = cells.map((cell, at) =>
        at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
      );
      console.log(padded.join("  "));
    }
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
    const again = `npm run chaos -- --seed ${this.#seed} --round ${round} --only ${fault}`;
    console.log(`  repeat: ${again}`);
    if (directory !== null) console.log(`  kept: ${directory}`);
  }
}

function newTotal(): Total {
  return { rounds: 0, completed: 0, interrupted: 0, violations: 0, ms: 0 };
}

function toCells(fault: string, total: Total): string[] {
  const { rounds, completed, interrupted, violations, ms } = total;
  const numbers = [rounds, completed, interrupted, violations].map(String);
  return [fault, ...numbers, `${(ms / 1000).toFixed(1)} s`];
}
