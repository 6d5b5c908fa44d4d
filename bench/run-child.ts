import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Point } from "./results.ts";
import type { Assignment } from "./workloads/workload.ts";

const CHILD = fileURLToPath(new URL("./trial.child.ts", import.meta.url));
/** After this time beyond the plan, a turn counts as hanging. */
const PATIENCE_MS = 90_000;

export interface ChildAnswer {
  readonly points: readonly Point[];
  readonly cpuMs: number;
}

/** Does one turn of a trial in a fresh process, with an empty directory below `root`. */
export async function runInChild(
  task: Omit<Assignment, "directory">,
  root: string,
): Promise<ChildAnswer> {
  const directory = mkdtempSync(join(root, "trial-"));
  const assignment: Assignment = { ...task, directory };
  const child = fork(CHILD, [JSON.stringify(assignment)], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    // The flags of this process are not passed on.
    execArgv: [],
    env: { ...process.env, COPILOTKIT_TELEMETRY_DISABLED: "true" },
  });
  const killWithUs = () => void child.kill("SIGKILL");
  process.once("exit", killWithUs);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      said = `${said}${chunk}`.slice(-4000);
    });
  }
  let answer: ChildAnswer | null = null;
  child.on("message", (message: ChildAnswer) => {
    answer = message;
  });
  const { seconds, warmUpSeconds, settings } = task;
  const planned = seconds + warmUpSeconds + (settings.setUpSeconds ?? 0);
  const patience = planned * 1000 + PATIENCE_MS;
  let isHanging = false;
  const timer = setTimeout(() => {
    isHanging = true;
    killWithUs();
  }, patience);
  try {
    const ending = await new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    if (answer === null || ending !== "exit code 0") {
      const why = isHanging ? `, after more than the planned ${Math.round(planned)} s` : "";
      throw new Error(`the trial's process ended with ${ending}${why}: ${said.trim()}`);
    }
    return answer;
  } finally {
    clearTimeout(timer);
    process.off("exit", killWithUs);
    rmSync(directory, { recursive: true, force: true });
  }
}
