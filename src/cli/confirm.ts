import { createInterface } from "node:readline/promises";
import { CommandFailure, EXIT, wrongUsage } from "./failure.ts";

/**
 * Asks before something is removed. Asks nothing with `--yes`.
 *
 * @throws {CommandFailure} the answer is not yes, or nobody can be asked.
 */
export async function confirm(
  question: string,
  { yes, signal }: { readonly yes: boolean; readonly signal: AbortSignal },
): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) {
    throw wrongUsage(`${question} Nobody can be asked here: add --yes`);
  }
  const questions = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const asked = questions.question(`${question} [y/N] `, { signal });
    const answer = await asked.catch((error: unknown) => {
      // Ctrl-C comes as a character here, and not as a signal.
      if (error instanceof Error && error.name === "AbortError") {
        throw new CommandFailure(EXIT.interrupted, "interrupted");
      }
      throw error;
    });
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    questions.close();
  }
  throw new CommandFailure(EXIT.failed, "nothing was removed");
}
