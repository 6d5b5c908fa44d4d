const BAR_WIDTH = 24;

/** The progress of a command: a live bar on a terminal, nothing elsewhere. */
export class ProgressBar {
  readonly isLive = process.stdout.isTTY === true;

  /** `share`: from 0 to 1. */
  draw(share: number, step: string): void {
    if (!this.isLive) return;
    const bar = "#".repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, ".");
    process.stdout.write(`\r\x1b[K[${bar}] ${step}`);
  }

  clear(): void {
    if (this.isLive) process.stdout.write("\r\x1b[K");
  }
}

/** The counts of a fault's results, and its time in milliseconds. */
export type Totals<Count extends string> = Record<Count | "ms", number>;

/**
 * Prints a table with a line for each fault and a line for their sum, which it returns. Its columns are
 * the counts, in the order of `zero`, and the time.
 */
export function printTotals<Count extends string>(
  totals: readonly (readonly [fault: string, total: Totals<Count>])[],
  zero: Totals<Count>,
): Totals<Count> {
  const sum = { ...zero };
  const fields = Object.keys(sum) as (Count | "ms")[];
  for (const [, total] of totals) for (const field of fields) sum[field] += total[field];
  const columns = fields.filter((field) => field !== "ms");
  const table = [
    ["fault", ...columns, "time"],
    ...[...totals, ["all", sum] as const].map(([fault, total]) => [
      fault,
      ...columns.map((column) => String(total[column])),
      `${(total.ms / 1000).toFixed(1)} s`,
    ]),
  ];
  const widths = table[0]?.map((_, at) =>
    Math.max(...table.map((cells) => cells[at]?.length ?? 0)),
  );
  console.log("");
  for (const cells of table) {
    const padded = cells.map((cell, at) =>
      at === 0 ? cell.padEnd(widths?.[at] ?? 0) : cell.padStart(widths?.[at] ?? 0),
    );
    console.log(padded.join("  "));
  }
  return sum;
}
