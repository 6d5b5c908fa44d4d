import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** The time limit of a command. An install over a slow connection takes longest. */
const COMMAND_MS = 4 * 60_000;
const OUTPUT_LIMIT = 64 * 1024;
/** A failure shows the end of this output. */
const SHOWN_LIMIT = 4000;

const running = new Set<ChildProcess>();
const directories = new Set<string>();

/** Removes everything of this process when it ends, in any way. */
process.on("exit", () => {
  for (const child of running) killGroup(child);
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

export function killGroup(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It has ended.
  }
}

/**
 * The environment of a user's shell: without the variables of the npm that runs this, and without
 * telemetry.
 */
function environment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_.*|NODE|NODE_ENV|NODE_OPTIONS|CI)$/i.test(name),
  );
  return {
    ...Object.fromEntries(inherited),
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    NEXT_TELEMETRY_DISABLED: "1",
    COPILOTKIT_TELEMETRY_DISABLED: "true",
    ...extra,
  };
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly output: () => string;
  /** Resolves with the exit code. Null when a signal ended the process. */
  readonly exited: Promise<number | null>;
}

/** The empty directory of a new user. It is removed at the end. */
export class Project {
  readonly directory = mkdtempSync(join(tmpdir(), "durable-agent-runner-install-"));

  constructor(manifest: object = {}) {
    directories.add(this.directory);
    const allowScripts = { node: true, esbuild: true };
    this.write(
      "package.json",
      JSON.stringify({ private: true, type: "module", allowScripts, ...manifest }),
    );
  }

  path(...parts: readonly string[]): string {
    return join(this.directory, ...parts);
  }

  write(name: string, content: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), content);
  }

  async install(...packages: readonly string[]): Promise<void> {
    await this.run("npm", ["install", ...packages]);
  }

  start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand {
    // A process group of its own, so that its child processes end with it.
    const child = spawn(command, args, {
      cwd: this.directory,
      env: environment(env),
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output = (output + chunk).slice(-OUTPUT_LIMIT);
      });
    }
    const exited = once(child, "close").then(([code]) => {
      running.delete(child);
      return code as number | null;
    });
    return { child, output: () => output, exited };
  }

  /**
   * Runs a command to its end, and returns its output. Throws with the output when the command fails.
   */
  async run(
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<string> {
    const { child, output, exited } = this.start(command, args, env);
    const timer = setTimeout(() => killGroup(child), COMMAND_MS);
    const code = await exited;
    clearTimeout(timer);
    if (code === 0) return output();
    const how =
      code === null ? `was killed, after at most ${COMMAND_MS / 1000} s` : `ended with ${code}`;
    throw new Error(`${command} ${args.join(" ")} ${how}:\n${output().slice(-SHOWN_LIMIT)}`);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
    directories.delete(this.directory);
  }
}
