import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type BaseEvent, EventType, type RunAgentInput } from "@ag-ui/core";
import { lastValueFrom, type Observable } from "rxjs";
import type { RunnableAgent, RunRequest } from "../src/index.ts";

/** What is asked of a runner under load; every peer has it. */
export interface BenchRunner {
  run(request: RunRequest): Observable<BaseEvent>;
  close(): Promise<void>;
}

export interface Load {
  readonly threads: number;
  /** Events of one run, RUN_STARTED and RUN_FINISHED included. */
  readonly eventsPerRun: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly runs: number;
  readonly runsPerSecond: number;
  /** Milliseconds by which the event loop was late. */
  readonly loopDelayP99Ms: number;
  readonly loopDelayMaxMs: number;
  /** Milliseconds of processor time a run, all threads of the process together. */
  readonly cpuMsPerRun: number;
}

/** Emits its events past the client's pipeline, so that what is measured is the runner. */
class DirectAgent implements RunnableAgent {
  readonly agentId = "bench";
  readonly #deltas: number;

  constructor(eventsPerRun: number) {
    this.#deltas = eventsPerRun - 4;
  }

  async runAgent(
    { threadId, runId }: RunAgentInput,
    { onEvent }: { onEvent(params: { event: BaseEvent }): void },
  ): Promise<void> {
    // Even the fastest model answers in a later turn of the loop.
    await nextTurn();
    const messageId = `${runId}-answer`;
    onEvent({ event: { type: EventType.RUN_STARTED, threadId, runId } });
    onEvent({ event: { type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" } });
    for (let at = 0; at < this.#deltas; at++) {
      const delta = `token ${at} of an answer `;
      onEvent({ event: { type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta } });
    }
    onEvent({ event: { type: EventType.TEXT_MESSAGE_END, messageId } });
    onEvent({ event: { type: EventType.RUN_FINISHED, threadId, runId } });
  }

  abortRun(): void {}
}

/** Keeps `threads` conversations busy, one run after another, until the time is up. */
export async function applyLoad(runner: BenchRunner, load: Load): Promise<LoadResult> {
  const agent = new DirectAgent(load.eventsPerRun);
  let runs = 0;
  let busyUntil = 0;
  const converse = async (threadId: string): Promise<void> => {
    for (let turn = 0; performance.now() < busyUntil; turn++) {
      const runId = `${threadId}-${turn}`;
      const messages = [{ id: `${runId}-question`, role: "user" as const, content: "And then?" }];
      const input = { threadId, runId, messages, state: {}, tools: [], context: [] };
      await lastValueFrom(runner.run({ threadId, agent, input: { ...input, forwardedProps: {} } }));
      runs++;
    }
  };
  const phase = async (name: string, seconds: number): Promise<number> => {
    const startedAt = performance.now();
    runs = 0;
    busyUntil = startedAt + seconds * 1000;
    const threads = Array.from({ length: load.threads }, (_, at) => converse(`${name}-${at}`));
    await Promise.all(threads);
    return (performance.now() - startedAt) / 1000;
  };

  await phase("warm-up", 1);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpuBefore = process.cpuUsage();
  const seconds = await phase("thread", load.seconds);
  delay.disable();
  const cpu = process.cpuUsage(cpuBefore);
  return {
    runs,
    runsPerSecond: runs / seconds,
    loopDelayP99Ms: delay.percentile(99) / 1e6,
    loopDelayMaxMs: delay.max / 1e6,
    cpuMsPerRun: (cpu.user + cpu.system) / 1000 / runs,
  };
}
