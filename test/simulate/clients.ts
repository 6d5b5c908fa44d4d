import type { Observable } from "rxjs";
import { type EventLike, isTerminal } from "../../src/events/event.ts";
import type { Action, AgentPlan } from "./plan.ts";
import type { Process } from "./process.ts";
import type { ConnectRecord, RunRecord, StopRecord } from "./records.ts";
import { SimulatedAgent } from "./simulated-agent.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface ClientsOptions {
  readonly time: VirtualTime;
  readonly waitsUntil: number;
  readonly say: (process: Process["record"], line: string) => void;
}

type Call = Extract<Action, { kind: "run" | "stop" | "connect" | "ask" }>;

const LAST_AGENT: AgentPlan = { pieces: 1, gapMs: 0, ending: "finishes", isDeaf: false };

/** What clients ask of processes, and what they are answered. */
export class Clients {
  readonly records: { runs: RunRecord[]; connects: ConnectRecord[]; stops: StopRecord[] } = {
    runs: [],
    connects: [],
    stops: [],
  };
  readonly #options: ClientsOptions;
  readonly #pending = new Map<object, { readonly process: Process; readonly what: string }>();
  #agentStarts = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Calls that wait for an answer. A process that is killed gives none. */
  get unanswered(): string[] {
    const calls = [...this.#pending.values()].filter(({ process }) => !process.owner.isDead);
    return calls.map(({ process, what }) => `${what} of ${process.record.name}`);
  }

  get isWaiting(): boolean {
    for (const { process } of this.#pending.values()) if (!process.owner.isDead) return true;
    return false;
  }

  /** A process that is paused hears of a call when it goes on. */
  call(process: Process, call: Call): void {
    this.#options.time.as(process.owner, () => {
      this.#options.time.after(0, () => this.#call(process, call));
    });
  }

  runLast(process: Process, threadId: string): void {
    const run = { threadId, runId: "last", agent: LAST_AGENT };
    this.#options.time.as(process.owner, () => this.#run(process, run));
  }

  connect(process: Process, threadId: string, { isLast }: { readonly isLast: boolean }): void {
    const request = { threadId, leavesAfter: null, isLast };
    this.#options.time.as(process.owner, () => this.#connect(process, request));
  }

  close(process: Process): void {
    // What cannot be stored by then is no fault of a close.
    this.#options.time.as(process.owner, () =>
      this.#await(process, "close", () => process.runner.close().catch(() => undefined)),
    );
  }

  #call(process: Process, call: Call): void {
    const { runner } = process;
    const { threadId } = call;
    switch (call.kind) {
      case "run":
        this.#run(process, call);
        return;
      case "connect":
        this.#connect(process, { ...call, isLast: false });
        return;
      case "stop": {
        const { runId } = call;
        this.records.stops.push({ threadId, runId, at: this.#options.time.now });
        const request = runId === null ? { threadId } : { threadId, runId };
        const what = `stop of ${threadId}${runId === null ? "" : ` if it is ${runId}`}`;
        this.#await(process, what, () => runner.stop(request));
        return;
      }
      case "ask":
        this.#await(process, `isRunning of ${threadId}`, () => runner.isRunning({ threadId }));
    }
  }

  #await(process: Process, what: string, ask: () => Promise<unknown>): void {
    const { say } = this.#options;
    const { record } = process;
    const call = {};
    this.#pending.set(call, { process, what });
    say(record, `is asked for ${what}`);
    const settle = (answer: string) => {
      this.#pending.delete(call);
      say(record, `answers ${what}: ${answer}`);
    };
    ask().then(
      (value) => settle(String(value)),
      (error: unknown) => settle(String(error)),
    );
  }

  #run(
    process: Process,
    {
      threadId,
      runId,
      agent: plan,
    }: Pick<Extract<Call, { kind: "run" }>, "threadId" | "runId" | "agent">,
  ): void {
    const { time, say, waitsUntil } = this.#options;
    const { record } = process;
    const number = this.records.runs.length + 1;
    const what = `run ${number} (${runId} on ${threadId})`;
    const run: RunRecord = {
      ...{ number, process: record, threadId, runId, requestedAt: time.now },
      ...{ agentStartedAt: null, startOrder: null, endedAt: null, abortedAt: null },
      ...{ saw: [], completedAt: null, thrown: null },
    };
    this.records.runs.push(run);
    say(record, `is asked for ${what}`);
    const agent = new SimulatedAgent({
      ...{ plan, number, threadId, runId, waitsUntil },
      onStart: () => {
        run.agentStartedAt = time.now;
        run.startOrder = ++this.#agentStarts;
        say(record, `starts the agent of ${what}`);
      },
      onEnd: () => {
        run.endedAt ??= time.now;
        say(record, `the agent of ${what} ends`);
      },
      onAbort: () => {
        run.abortedAt ??= time.now;
        say(record, `aborts the agent of ${what}`);
      },
    });
    const messages = [{ id: `question-${number}`, role: "user", content: "?" }];
    const input = { threadId, runId, messages, tools: [], context: [], state: {} };
    let stream: Observable<EventLike>;
    try {
      stream = process.runner.run({ threadId, agent, input });
    } catch (error) {
      run.thrown = String(error);
      say(record, `refuses ${what}: ${error}`);
      return;
    }
    this.#pending.set(run, { process, what });
    stream.subscribe({
      next: (event) => {
        run.saw.push(event);
        if (isTerminal(event)) run.endedAt ??= time.now;
        say(record, `${what} says ${brief(event)}`);
      },
      complete: () => {
        run.completedAt = time.now;
        this.#pending.delete(run);
        say(record, `${what} is complete`);
      },
    });
  }

  #connect(
    process: Process,
    request: {
      readonly threadId: string;
      readonly leavesAfter: number | null;
      readonly isLast: boolean;
    },
  ): void {
    const { time, say } = this.#options;
    const { threadId, leavesAfter, isLast } = request;
    const { record } = process;
    const connect: ConnectRecord = {
      ...{ process: record, threadId, startedAt: time.now, events: [] },
      ...{ completedAt: null, hasLeft: false, isLast },
    };
    this.records.connects.push(connect);
    const what = `connect ${this.records.connects.length} to ${threadId}`;
    say(record, `is asked for ${what}`);
    this.#pending.set(connect, { process, what });
    const subscription = process.runner.connect({ threadId }).subscribe({
      next: (event) => {
        connect.events.push(event);
        say(record, `${what} says ${brief(event)}`);
        if (connect.events.length !== leavesAfter) return;
        connect.hasLeft = true;
        this.#pending.delete(connect);
        say(record, `the client of ${what} leaves`);
        subscription.unsubscribe();
      },
      complete: () => {
        connect.completedAt = time.now;
        this.#pending.delete(connect);
        say(record, `${what} is complete`);
      },
    });
  }
}

function brief({ type, code, delta, number }: EventLike): string {
  const details = [code, delta, number].filter((detail) => detail !== undefined);
  return [type, ...details].join(" ");
}
