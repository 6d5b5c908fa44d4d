import { statSync } from "node:fs";
import { type DatabaseFacts, inspectDatabase, type StoreAgentRunner } from "../../index.ts";
import type { Api, DatabaseAnswer, HoldersAnswer, StopAnswer } from "../api.ts";
import { Census } from "./census.ts";
import type { Parameters } from "./parameters.ts";
import { invalid } from "./refusal.ts";
import { RunAnswers } from "./run-answers.ts";
import type { RunReader } from "./run-reader.ts";
import { ThreadAnswers } from "./thread-answers.ts";

/** Milliseconds for which the size of a file is told again. */
const KEEP_FACTS_MS = 10_000;

/** The database that is looked at. */
export interface InspectedDatabase {
  readonly kind: "sqlite" | "postgres";
  /** The path of the file, or the URL without its password. */
  readonly name: string;
}

export interface RoutesOptions {
  readonly runner: StoreAgentRunner;
  readonly database: InspectedDatabase;
  /** Of the package. */
  readonly version: string;
  readonly read: RunReader;
}

/** Answers one request: `body` is what was posted, as JSON gives it. */
type Route<Answer> = (parameters: Parameters, body: unknown) => Promise<Answer>;

export type Routes = { readonly [Name in keyof Api]: Route<Api[Name]["answer"]> };

export function newRoutes({ runner, database, version, read }: RoutesOptions): Routes {
  const file = fileReader(database);
  const census = new Census(runner);
  const threads = new ThreadAnswers(runner, census, read);
  const runs = new RunAnswers(runner, read);
  return {
    "GET api/database": async () => ({ version, ...database, now: Date.now(), file: await file() }),
    "GET api/totals": () => census.totals(),
    "GET api/threads": (parameters) => threads.list(parameters),
    "GET api/thread": (parameters) => threads.get(parameters),
    "GET api/messages": (parameters) => threads.messages(parameters),
    "GET api/state": (parameters) => threads.state(parameters),
    "GET api/runs": (parameters) => runs.list(parameters),
    "GET api/run": (parameters) => runs.get(parameters),
    "GET api/run/input": (parameters) => runs.input(parameters),
    "GET api/run/messages": (parameters) => runs.messages(parameters),
    "GET api/run/state": (parameters) => runs.state(parameters),
    "GET api/run/events": (parameters) => runs.events(parameters),
    "GET api/run/event": (parameters) => runs.event(parameters),
    "GET api/run/timeline": (parameters) => runs.timeline(parameters),
    "GET api/holders": () => holdersOf(runner),
    "GET api/recovered": (parameters) => threads.recovered(parameters),
    "POST api/stop": (_, body) => stop(runner, body),
  };
}

/** What is known of the file. Its facts, for which a thread is started, are told again for a while. */
function fileReader({ kind, name }: InspectedDatabase): () => Promise<DatabaseAnswer["file"]> {
  let facts: Promise<DatabaseFacts> | null = null;
  let until = 0;
  return async () => {
    if (kind === "postgres") return null;
    if (facts === null || performance.now() > until) {
      facts = inspectDatabase(name);
      until = performance.now() + KEEP_FACTS_MS;
      facts.catch(() => {
        until = 0;
      });
    }
    const { bytes, freeBytes, schemaVersion } = await facts;
    const walBytes = statSync(`${name}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    return { bytes, freeBytes, walBytes, schemaVersion };
  };
}

async function holdersOf(runner: StoreAgentRunner): Promise<HoldersAnswer> {
  const { instances, held, heldTotal, journals } = await runner.threads.holders();
  const { queueDepth: depth, queueBytes: bytes, lagMs } = runner.stats();
  return {
    now: Date.now(),
    instances,
    held,
    heldTotal,
    journals: journals ?? { segments: 0, bytes: 0 },
    queue: { depth, bytes, lagMs },
  };
}

async function stop(runner: StoreAgentRunner, body: unknown): Promise<StopAnswer> {
  const { thread, runId } = (body ?? {}) as { thread?: unknown; runId?: unknown };
  if (typeof thread !== "string" || thread === "") {
    throw invalid("expected thread to be a non-empty string");
  }
  if (runId !== undefined && typeof runId !== "string") {
    throw invalid("expected runId to be a string");
  }
  return { isStopped: await runner.stop({ threadId: thread, runId }) };
}
