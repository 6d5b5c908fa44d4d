import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { EVERY_RESOURCE, withResource } from "../../src/index.ts";
import { type Child, spawnChild } from "./child-process.ts";
import { openRunner, runToEnd } from "./open-runner.ts";
import { answeringAgent } from "./scripted-agent.ts";
import { tempDatabase } from "./temp-file.ts";

/** The entry file of the command line. */
export const CLI = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly lines: readonly string[];
  readonly stderr: string;
}

/** Starts the command line. Nothing of this process's environment names a database. */
export function startCli(args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
  const { DB_PATH: _, DATABASE_URL: __, ...inherited } = process.env;
  return spawnChild(process.execPath, [CLI, ...args], { env: { ...inherited, ...env } });
}

/** Executes the command line to its end. Its stdin is a pipe: nobody can be asked. */
export async function cli(
  args: readonly string[],
  { env = {}, input = "" }: { readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
): Promise<CliResult> {
  const child = startCli(args, env);
  child.process.stdin?.on("error", () => undefined);
  child.process.stdin?.end(input);
  const lines: string[] = [];
  for (let next = await child.lines.next(); next.done !== true; next = await child.lines.next()) {
    lines.push(next.value);
  }
  return { ...(await child.exited), lines };
}

/** The end of a process whose stdout is closed after its first line. */
export async function closeAfterFirstLine(child: Child): Promise<number | null> {
  await child.lines.next();
  child.process.stdout?.destroy();
  const [code] = (await once(child.process, "exit")) as [number | null];
  return code;
}

/** A file with two runs on the thread "t", which is nobody's, and one on "u" of the resource "ann". */
export async function fileWithThreads(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "t", "r1", answeringAgent());
  await runToEnd(runner, "t", "r2", answeringAgent());
  await withResource("ann", () => runToEnd(runner, "u", "r3", answeringAgent()));
  await withResource(EVERY_RESOURCE, () => runner.threads.rename("t", "About \u001b[31mwhales"));
  await runner.close();
  return dbPath;
}
