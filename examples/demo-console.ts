import { styleText } from "node:util";

const NEWS_EVERY_MS = 1000;
const { stdout } = process;
let printedAt = 0;

export function heading(text: string) {
  console.log(`\n${styleText("bold", text)}`);
}

/** A line that is updated on a terminal. Elsewhere, a new line from time to time. */
export function progress(text: string) {
  if (stdout.isTTY) {
    stdout.write(`\r\x1b[K${text}`);
  } else if (Date.now() - printedAt >= NEWS_EVERY_MS) {
    console.log(text);
    printedAt = Date.now();
  }
}

/** The final text, in place of the updated line. */
export function progressDone(text: string) {
  if (stdout.isTTY) stdout.write(`\r\x1b[K${text}\n`);
  else console.log(text);
  printedAt = 0;
}

/** Columns as wide as their widest cell; numbers are right-aligned. */
export function table(columns: readonly string[], rows: readonly (readonly (string | number)[])[]) {
  const widths = columns.map((column, at) =>
    Math.max(column.length, ...rows.map((row) => String(row[at]).length)),
  );
  const line = (cells: readonly (string | number)[]) =>
    cells
      .map((cell, at) =>
        typeof cell === "number"
          ? String(cell).padStart(widths[at] ?? 0)
          : cell.padEnd(widths[at] ?? 0),
      )
      .join("  ")
      .trimEnd();
  console.log(styleText("dim", line(columns)));
  for (const row of rows) console.log(line(row));
}
