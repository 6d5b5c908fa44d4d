import { styleText } from "node:util";

let isReaderGone = false;
let failure: Error | null = null;

/**
 * A reader that goes away, such as `head`, is no error: `isClosed` tells. Call it before anything is
 * printed.
 */
export function watchReader(): void {
  process.stdout.on("error", endOutput);
}

function endOutput(error: NodeJS.ErrnoException): void {
  isReaderGone = true;
  if (error.code !== "EPIPE") failure ??= error;
}

/** Whether nothing more can be printed: nobody reads stdout any more, or it has failed. */
export function isClosed(): boolean {
  return isReaderGone;
}

/** Why stdout could not be written, such as a full disk. Null if it could, or nobody reads it any more. */
export function outputFailure(): Error | null {
  return failure;
}

/** Prints to stdout, and resolves when the text has left this process. Does nothing once stdout is closed. */
export function print(text: string): Promise<void> {
  if (isClosed()) return Promise.resolve();
  return new Promise((resolve) => {
    process.stdout.write(text, (error) => {
      // The event comes later, perhaps after the end of the command.
      if (error) endOutput(error);
      resolve();
    });
  });
}

export function printJson(value: unknown): Promise<void> {
  return print(`${JSON.stringify(value)}\n`);
}

/** For people, beside the output: progress and warnings. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Shows how far long work is, on one line of a terminal. Prints nothing where stderr is no terminal. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

/** Ends the line of `progress`. */
export function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
}

/** `text` in a style, where stdout is a terminal and `NO_COLOR` is not set. */
export function styled(style: "bold" | "dim" | "red" | "cyan", text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

export interface Column<Row> {
  readonly name: string;
  readonly of: (row: Row) => string;
  /** For numbers. */
  readonly right?: boolean;
}

/** Rows as a table with a heading, each line ended. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map((column) => column.of(row)));
  const widths = columns.map(({ name }, at) =>
    Math.max(name.length, ...cells.map((line) => widthOf(line[at] ?? ""))),
  );
  const lineOf = (line: readonly string[]) =>
    line
      .map((cell, at) => {
        const blanks = " ".repeat((widths[at] ?? 0) - widthOf(cell));
        return columns[at]?.right === true ? blanks + cell : cell + blanks;
      })
      .join("  ")
      .trimEnd();
  const heading = styled("bold", lineOf(columns.map(({ name }) => name)));
  return [heading, ...cells.map(lineOf)].map((line) => `${line}\n`).join("");
}

/** Characters, as people count them. */
function widthOf(text: string): number {
  return [...text].length;
}

/** Names and values, one a line. */
export function facts(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries
    .map(([name, value]) => `${styled("dim", name.padEnd(width))}  ${value}\n`)
    .join("");
}
