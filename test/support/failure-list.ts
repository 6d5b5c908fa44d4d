import type { DeadFile, RunOutcome } from "./run-outcome.ts";

/** A dead file that was run again, alone. */
export interface RunAgain extends DeadFile {
  readonly passed: boolean;
  /** Null if vitest ended without an outcome. */
  readonly outcome: RunOutcome | null;
}

/** Files of one run that are run again at most. More dead files have a cause that another run only hides. */
const MOST_AGAIN = 3;

/** The files to run again: those whose process died, and of which no test had failed by then. */
export function filesToRunAgain({ died, failed }: RunOutcome): readonly DeadFile[] {
  const again = died.filter(({ file }) => !failed.some((test) => test.file === file));
  return again.length > MOST_AGAIN ? [] : again;
}

/** Whether nothing else failed than files that passed when they were run again. */
export function isExcused(
  { died, failed, errors }: RunOutcome,
  again: readonly RunAgain[],
): boolean {
  if (died.length === 0 || failed.length > 0 || errors.length > 0) return false;
  return died.every(({ file }) => again.some((run) => run.file === file && run.passed));
}

/** The lines with which the log ends: what died, and what failed, each in a line. */
export function failureList(
  { died, failed, errors }: RunOutcome,
  again: readonly RunAgain[],
): readonly string[] {
  const passed = again.filter((run) => run.passed);
  const dead = died.filter(({ file }) => !passed.some((run) => run.file === file));
  const failures = [
    ...dead.map(({ file, signal }) => {
      const twice = again.some((run) => run.file === file);
      return `DIED  ${file}: ${signal}${twice ? ", and it failed when it was run again" : ", not run again"}`;
    }),
    ...failedLines({ failed, errors }),
    ...again.flatMap(({ outcome }) => (outcome === null ? [] : failedLines(outcome))),
  ];
  return [
    ...(passed.length > 0 ? [`== ${passed.length} died, and passed when run again`] : []),
    ...passed.map(({ file, signal }) => `AGAIN ${file}: ${signal}`),
    ...(failures.length > 0 ? [`== ${failures.length} failed`, ...failures] : []),
  ].map(cut);
}

function failedLines({ failed, errors }: Pick<RunOutcome, "failed" | "errors">): string[] {
  return [
    ...failed.map(({ file, name, message }) =>
      ["FAIL  ", file, name === "" ? "" : ` > ${name}`, `: ${message}`].join(""),
    ),
    ...errors.map((message) => `ERROR ${message}`),
  ];
}

const MOST_CHARACTERS = 300;

const cut = (line: string): string =>
  line.length > MOST_CHARACTERS ? `${line.slice(0, MOST_CHARACTERS)}...` : line;
