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
    const answer = await questions.question(`${question} [y/N] `, { signal });
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    questions.close();
  }
  throw new CommandFailure(EXIT.failed, "nothing was removed");
}
