import { readFileSync, writeFileSync } from "node:fs";
import { SqliteAgentRunner } from "../../src/index.ts";
import { runToEnd } from "../support/open-runner.ts";
import { finished, scriptedAgent, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

export const RUNS = 8;

/** An intact file of a runner, with a few hundred pages. */
export async function storedFile(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = new SqliteAgentRunner({ dbPath });
  for (let run = 0; run < RUNS; run++) {
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* text(`answer-${run}`, `run ${run} `.repeat(10_000));
      yield finished(input);
    });
    await runToEnd(runner, "t", `r${run}`, agent);
  }
  await runner.close();
  return dbPath;
}

/** Inverts all bits from one byte of a file to another. */
export function flipBits(path: string, from: number, to: number): void {
  const content = readFileSync(path);
  content.set(
    content.subarray(from, to).map((byte) => byte ^ 0xff),
    from,
  );
  writeFileSync(path, content);
}
