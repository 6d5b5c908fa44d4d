/** Vitest's own report begins with a heading between such lines. */
const REPORT = "⎯⎯⎯";

const MOST_LINES = 80;

/**
 * The last lines of what was said on stderr before vitest's report. Node and the native code say there why
 * they abort. Vitest prints it when it is said, which may be hundreds of lines above the report.
 */
export function lastWordsIn(stderr: string): string {
  const lines = stderr.split("\n");
  const report = lines.findIndex((line) => line.includes(REPORT));
  const before = report < 0 ? lines : lines.slice(0, report);
  return before.slice(-MOST_LINES).join("\n").trim();
}
