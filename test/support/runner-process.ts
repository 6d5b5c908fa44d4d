import { fileURLToPath } from "node:url";
import type { BaseEvent } from "@ag-ui/core";
import { firstValueFrom, ReplaySubject } from "rxjs";
import { expect } from "vitest";
import type { InterruptedRun, PurgeOptions, PurgeResult } from "../../src/index.ts";
import { type Child, spawnChild } from "./child-process.ts";
import { isUnlocked } from "./database-file.ts";
import { closing, delta, opening } from "./message-events.ts";
import { type LogLine, type Watched, watch } from "./open-runner.ts";
import { eventually } from "./poll.ts";
import type { ChildOptions, Command, OnAbort, Report, ThreadMethod } from "./runner.child.ts";
import { finished, type ScriptEvent, started } from "./scripted-agent.ts";

const CHILD = fileURLToPath(new URL("runner.child.ts", import.meta.url));

interface Answer {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface RunOptions {
  readonly onAbort?: OnAbort;
  /** Ids of the messages of its input. Default: a question. */
  readonly messages?: readonly string[];
  /** The run is within `withResource` of it. */
  readonly resourceId?: string;
}

/** A run of another process, whose agent emits the events that are given here. */
export interface DistantRun extends Watched {
  /** Resolves when the agent has begun. */
  readonly started: () => Promise<void>;
  /** Resolves when the events were emitted. */
  readonly emit: (...events: readonly ScriptEvent[]) => Promise<void>;
  readonly finish: () => Promise<void>;
  readonly fail: (message: string) => Promise<void>;
  readonly aborts: () => Promise<number>;
}

/** A runner in a process of its own, which does not outlive the test. */
export class RunnerProcess {
  readonly #child: Child;
  readonly #answers = new Map<number, Answer>();
  readonly #streams = new Map<number, ReplaySubject<BaseEvent>>();
  readonly #logged = new ReplaySubject<LogLine>();
  readonly #interrupted = new ReplaySubject<InterruptedRun>();
  readonly #reran = new ReplaySubject<string | null>();
  readonly #blocked = Promise.withResolvers<void>();
  #lastId = 0;

  private constructor(child: Child) {
    this.#child = child;
    void this.#listen();
  }

  /** Starts a process; resolves when it has the file open. */
  static async open(
    options: ChildOptions,
    process_: {
      readonly execArgv?: readonly string[];
      readonly env?: NodeJS.ProcessEnv;
      /** A command, with its arguments, that runs the process. */
      readonly within?: readonly string[];
    } = {},
  ): Promise<RunnerProcess> {
    const node = [process.execPath, ...(process_.execArgv ?? []), CHILD, JSON.stringify(options)];
    const [command = "", ...args] = [...(process_.within ?? []), ...node];
    const env = { ...process.env, ...process_.env };
    const opened = new RunnerProcess(spawnChild(command, args, { env }));
    await opened.#ask({ do: "ready" });
    return opened;
  }

  get pid(): number {
    return this.#child.process.pid ?? 0;
  }

  /** Begins a run. Does not wait for the agent, whose run may have to wait. */
  run(
    threadId: string,
    runId: string,
    { onAbort = "end" as OnAbort, ...options }: RunOptions = {},
  ): DistantRun {
    const run = ++this.#lastId;
    const watched = this.#watch({ do: "run", stream: run, threadId, runId, onAbort, ...options });
    return {
      ...watched,
      started: () => this.#ask<void>({ do: "started", run }),
      emit: (...events) => this.#ask<void>({ do: "emit", run, events }),
      finish: () => this.#ask<void>({ do: "finish", run }),
      fail: (message) => this.#ask<void>({ do: "fail", run, message }),
      aborts: () => this.#ask<number>({ do: "aborts", run }),
    };
  }

  /** The runs that its `onInterrupted` has got so far. */
  readonly interruptedRuns: InterruptedRun[] = [];

  /** Resolves with the first run that its `onInterrupted` gets. */
  interrupted(): Promise<InterruptedRun> {
    return firstValueFrom(this.#interrupted);
  }

  /** Resolves when its first rerun is over: with null, or with the code of the error. */
  reran(): Promise<string | null> {
    return firstValueFrom(this.#reran);
  }

  /** The agent of its rerun, with `onInterrupted: "hold"`. Resolves when that agent has begun. */
  async rerun(): Promise<Pick<DistantRun, "emit" | "finish">> {
    await this.interrupted();
    await this.#ask<void>({ do: "started", run: RERUN_STREAM });
    return {
      emit: (...events) => this.#ask<void>({ do: "emit", run: RERUN_STREAM, events }),
      finish: () => this.#ask<void>({ do: "finish", run: RERUN_STREAM }),
    };
  }

  /** Resolves when the process has ended by itself. */
  async died(): Promise<void> {
    await this.#child.exited;
  }

  connect(threadId: string, resourceId?: string): Watched {
    return this.#watch({ do: "connect", stream: ++this.#lastId, threadId, resourceId });
  }

  stop(threadId: string, runId?: string, resourceId?: string): Promise<boolean> {
    return this.#ask({ do: "stop", threadId, runId, resourceId });
  }

  isRunning(threadId: string, resourceId?: string): Promise<boolean> {
    return this.#ask({ do: "isRunning", threadId, resourceId });
  }

  /** Calls a method of its `runner.threads`. */
  threads<T>(method: ThreadMethod, ...args: readonly unknown[]): Promise<T> {
    return this.#ask({ do: "threads", method, args });
  }

  /** The same within `withResource`. */
  threadsOf<T>(resourceId: string, method: ThreadMethod, ...args: readonly unknown[]): Promise<T> {
    return this.#ask({ do: "threads", method, args, resourceId });
  }

  purge(limits: PurgeOptions): Promise<PurgeResult> {
    return this.#ask({ do: "purge", limits });
  }

  flush(): Promise<void> {
    return this.#ask({ do: "flush" });
  }

  /** Resolves when its runner has logged this message so many times. */
  async logged(message: string, times = 1): Promise<LogLine> {
    return new Promise((resolve) => {
      let seen = 0;
      this.#logged.subscribe((line) => {
        if (line.message === message && ++seen === times) resolve(line);
      });
    });
  }

  /** Blocks its main thread. The first promise resolves when it is blocked. */
  block(ms: number): { readonly blocked: Promise<void>; readonly over: Promise<void> } {
    return { over: this.#ask<void>({ do: "block", ms }), blocked: this.#blocked.promise };
  }

  /** Closes its runner. The process then has nothing to do, and should end by itself. */
  async close(): Promise<void> {
    await this.#ask({ do: "close" });
    this.#child.process.stdin?.end();
    expect(await this.#child.exited).toEqual({ code: 0, stderr: "" });
  }

  /** Ends the writer thread of its runner. */
  killWriter(): Promise<void> {
    return this.#ask({ do: "killWriter" });
  }

  /** Uses up all file descriptors of its process. */
  useUpDescriptors(): Promise<void> {
    return this.#ask({ do: "useUpDescriptors" });
  }

  freeDescriptors(): Promise<void> {
    return this.#ask({ do: "freeDescriptors" });
  }

  /** `kill -9`, and waits until the process is gone. */
  kill(): Promise<void> {
    return this.#child.kill();
  }

  pause(): void {
    this.#child.process.kill("SIGSTOP");
  }

  /** Suspends it while it does not hold the write lock of the file, which nobody else could write otherwise. */
  async pauseUnlocked(dbPath: string): Promise<void> {
    await eventually(() => {
      this.pause();
      if (isUnlocked(dbPath)) return true;
      this.resume();
      return false;
    });
  }

  resume(): void {
    this.#child.process.kill("SIGCONT");
  }

  #ask<T>(command: Command): Promise<T> {
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      this.#answers.set(id, { resolve: (value) => resolve(value as T), reject });
      this.#child.process.stdin?.write(`${JSON.stringify({ id, ...command })}\n`);
    });
  }

  #watch(command: Command & { readonly stream: number }): Watched {
    const events = new ReplaySubject<BaseEvent>();
    this.#streams.set(command.stream, events);
    // An error shows as a silent stream, with the reason here.
    this.#ask(command).catch((error: unknown) => events.error(error));
    return watch(events);
  }

  async #listen(): Promise<void> {
    // The pipe may break while a command is on its way to a process that is being killed.
    this.#child.process.stdin?.on("error", () => undefined);
    for (;;) {
      const { value, done } = await this.#child.lines.next();
      if (done === true) break;
      this.#take(JSON.parse(value) as Report);
    }
    const { code, stderr } = await this.#child.exited;
    const error = new Error(`the process has exited with ${code}: ${stderr}`);
    for (const { reject } of this.#answers.values()) reject(error);
  }

  #take(report: Report): void {
    switch (report.kind) {
      case "done":
        this.#answers.get(report.id)?.resolve(report.value);
        this.#answers.delete(report.id);
        return;
      case "failed":
        this.#answers.get(report.id)?.reject(new Error(report.message));
        this.#answers.delete(report.id);
        return;
      case "event":
        this.#streams.get(report.stream)?.next(report.event);
        return;
      case "complete":
        this.#streams.get(report.stream)?.complete();
        return;
      case "log":
        this.#logged.next(report.line);
        return;
      case "interrupted":
        this.interruptedRuns.push(report.run);
        this.#interrupted.next(report.run);
        return;
      case "reran":
        this.#reran.next(report.code);
        return;
      case "blocked":
        this.#blocked.resolve();
    }
  }
}

/** As runner.child.ts has it: that module cannot be imported, because it is a program. */
const RERUN_STREAM = -1;

const ids = { threadId: "t", runId: "r" };

/** A process in the middle of run "r" on thread "t". All that its agent emitted is in the file. */
export async function processInMidRun(
  dbPath: string,
  options: Omit<ChildOptions, "dbPath"> = {},
  process_ = {},
) {
  const owner = await RunnerProcess.open({ dbPath, ...options }, process_);
  const run = owner.run("t", "r");
  await run.emit(started(ids), opening("m"), delta("m", "so far"));
  await owner.flush();
  const finish = async () => {
    await run.emit(closing("m"), finished(ids));
    await run.finish();
    return run.done;
  };
  return { owner, run, finish };
}
