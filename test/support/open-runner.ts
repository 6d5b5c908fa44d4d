import { lastValueFrom, type Observable, toArray } from "rxjs";
import { onTestFinished } from "vitest";
import { shownStart } from "../../src/events/replay/shown-input.ts";
import type {
  EventLike,
  Logger,
  SqliteAgentRunner,
  SqliteAgentRunnerOptions,
} from "../../src/index.ts";
import { newRunner } from "./new-runner.ts";
import { inputOf, type ScriptEvent } from "./scripted-agent.ts";

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: object;
  readonly message: string;
}

export interface CollectingLogger extends Logger {
  readonly lines: LogLine[];
}

export function collectingLogger(): CollectingLogger {
  const lines: LogLine[] = [];
  const write = (level: LogLine["level"]) => (fields: object, message: string) =>
    void lines.push({ level, fields, message });
  return {
    lines,
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}

/** A runner that is closed at the end of the test at the latest, and logs nothing to stderr. */
export function openRunner(options: SqliteAgentRunnerOptions): SqliteAgentRunner {
  const runner = newRunner({ logger: collectingLogger(), ...options });
  onTestFinished(async () => {
    // A second close does nothing. A run that a test made unstorable is not an error of closing.
    await runner.close().catch(() => undefined);
  });
  return runner;
}

/** All events of a stream, when it has completed. */
export async function collect(stream: Observable<EventLike>): Promise<ScriptEvent[]> {
  return lastValueFrom(stream.pipe(toArray()));
}

export interface Watched {
  /** The events so far. */
  readonly events: ScriptEvent[];
  /** All events, when the stream has completed. */
  readonly done: Promise<ScriptEvent[]>;
  /** The first event for which `matches` is true, among the events so far or later ones. */
  readonly until: (matches: (event: ScriptEvent) => boolean) => Promise<ScriptEvent>;
}

/** Subscribes at once. */
export function watch(stream: Observable<EventLike>): Watched {
  const events: ScriptEvent[] = [];
  const { promise: done, resolve, reject } = Promise.withResolvers<ScriptEvent[]>();
  const waiting = new Set<(event: ScriptEvent) => void>();
  stream.subscribe({
    next(event) {
      events.push(event);
      for (const tell of [...waiting]) tell(event);
    },
    error: reject,
    complete: () => resolve(events),
  });
  const until = (matches: (event: ScriptEvent) => boolean) =>
    new Promise<ScriptEvent>((found, missed) => {
      const seen = events.find(matches);
      if (seen !== undefined) return found(seen);
      const tell = (event: ScriptEvent) => {
        if (!matches(event)) return;
        waiting.delete(tell);
        found(event);
      };
      waiting.add(tell);
      done.then(() => {
        const last = JSON.stringify(events.at(-1));
        missed(new Error(`the stream completed without such an event; its last one: ${last}`));
      }, missed);
    });
  return { events, done, until };
}

/** Events of a run as a replay shows them: without what no client takes of the run's input. */
export function asReplayed(events: readonly ScriptEvent[]): ScriptEvent[] {
  return events.map((event) =>
    event.type === "RUN_STARTED" ? shownStart(event, () => false) : event,
  );
}

/** The whole replay of a thread. */
export function replayOf(runner: SqliteAgentRunner, threadId: string): Promise<ScriptEvent[]> {
  return collect(runner.connect({ threadId }));
}

/** Runs an agent on a thread to its end. */
export function runToEnd(
  runner: SqliteAgentRunner,
  threadId: string,
  runId: string,
  agent: Parameters<SqliteAgentRunner["run"]>[0]["agent"],
): Promise<ScriptEvent[]> {
  return collect(runner.run({ threadId, agent, input: inputOf(threadId, runId) }));
}

export const typesOf = (events: readonly ScriptEvent[]): string[] => events.map(({ type }) => type);

/** The text of all text messages together. */
export function spokenIn(events: readonly ScriptEvent[]): string {
  return events
    .filter(({ type }) => type === "TEXT_MESSAGE_CONTENT")
    .map(({ delta }) => delta)
    .join("");
}

export function runIdsIn(events: readonly ScriptEvent[]): unknown[] {
  return events.filter(({ type }) => type === "RUN_STARTED").map(({ runId }) => runId);
}
