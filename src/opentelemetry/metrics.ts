import type { Attributes, Meter } from "@opentelemetry/api";
import type {
  BatchTelemetry,
  ErrorTelemetry,
  LeaseTelemetry,
  RecoveryTelemetry,
  RetentionTelemetry,
  RunTelemetry,
} from "../telemetry/messages.ts";
import {
  AGENT_SECONDS,
  ATTRIBUTE,
  errorTypeOf,
  OWN,
  SECONDS,
  TOKENS,
  UNKNOWN_PROVIDER,
} from "./conventions.ts";

function secondsHistogram(meter: Meter, name: string, description: string, bounds = SECONDS) {
  const advice = { explicitBucketBoundaries: bounds };
  return meter.createHistogram(name, { unit: "s", description, advice });
}

/** Metrics of runs, by the conventions. */
export class RunMetrics {
  readonly #active;
  readonly #agents;
  readonly #operations;
  readonly #tools;
  readonly #tokens;

  constructor(meter: Meter) {
    const seconds = (name: string, what: string, bounds?: number[]) =>
      secondsHistogram(meter, name, what, bounds);
    this.#agents = seconds("gen_ai.invoke_agent.duration", "Duration of runs.", AGENT_SECONDS);
    this.#operations = seconds("gen_ai.client.operation.duration", "Duration of runs.");
    this.#tools = seconds("gen_ai.execute_tool.duration", "Duration of tool calls.");
    this.#tokens = meter.createHistogram("gen_ai.client.token.usage", {
      unit: "{token}",
      description: "Tokens of a run, as its agent tells them.",
      advice: { explicitBucketBoundaries: TOKENS },
    });
    this.#active = meter.createUpDownCounter("durable_agent_runner.runs.active", {
      unit: "{run}",
      description: "Runs that wait or execute.",
    });
  }

  begun(): void {
    this.#active.add(1);
  }

  abandoned(): void {
    this.#active.add(-1);
  }

  ended(run: RunTelemetry, seconds: number, provider: string | null): void {
    this.#active.add(-1);
    const error =
      run.error === undefined ? {} : { [ATTRIBUTE.errorType]: errorTypeOf(run.errorCode) };
    const agent = agentOf(run);
    this.#agents.record(seconds, { ...agent, ...error });
    const operation = { [ATTRIBUTE.operation]: "invoke_agent" };
    const [only] = run.usage.length === 1 ? run.usage : [];
    const ofRun = only?.provider ?? provider;
    this.#operations.record(seconds, {
      ...{ ...operation, ...error, ...agent },
      ...(ofRun !== null && { [ATTRIBUTE.provider]: ofRun }),
      ...(typeof only?.model === "string" && { [ATTRIBUTE.model]: only.model }),
    });
    for (const { provider: told, model, inputTokens, outputTokens } of run.usage) {
      const of: Attributes = {
        ...{ ...operation, ...agent },
        [ATTRIBUTE.provider]: told ?? provider ?? UNKNOWN_PROVIDER,
        ...(model !== null && { [ATTRIBUTE.model]: model }),
      };
      const record = (type: string, count: number | null) => {
        if (count !== null) this.#tokens.record(count, { ...of, [ATTRIBUTE.tokenType]: type });
      };
      record("input", inputTokens);
      record("output", outputTokens);
    }
  }

  executed(run: RunTelemetry, tool: string, seconds: number): void {
    const of = { [ATTRIBUTE.tool]: tool, [ATTRIBUTE.toolType]: "function" };
    this.#tools.record(seconds, { ...of, ...agentOf(run) });
  }
}

function agentOf({ agentId }: RunTelemetry): Attributes {
  return agentId === null ? {} : { [ATTRIBUTE.agent]: agentId };
}

/** Metrics of stores, under names of our own. */
export class StoreMetrics {
  readonly #batchSize;
  readonly #batchSeconds;
  readonly #lag;
  readonly #recovered;
  readonly #purged;
  readonly #leases;
  readonly #errors;

  constructor(meter: Meter) {
    const counter = (name: string, unit: string, description: string) =>
      meter.createCounter(`durable_agent_runner.${name}`, { unit, description });
    this.#batchSize = meter.createHistogram("durable_agent_runner.batch.size", {
      unit: "{operation}",
      description: "Operations of a batch.",
      advice: { explicitBucketBoundaries: [1, 2, 4, 8, 16, 32, 64, 100] },
    });
    // A commit takes milliseconds, and a disk that fails keeps what waits for minutes.
    const bounds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60];
    const seconds = (name: string, what: string) =>
      secondsHistogram(meter, `durable_agent_runner.batch.${name}`, what, bounds);
    this.#batchSeconds = seconds("duration", "From sending a batch to its acknowledgement.");
    this.#lag = seconds("lag", "How long the oldest operation of a batch waited.");
    this.#recovered = counter("recovered_runs", "{run}", "Runs of dead processes that were ended.");
    this.#purged = counter("purged_runs", "{run}", "Runs that retention has removed.");
    this.#leases = counter(
      "lost_leases",
      "{lease}",
      "Leases that ended against the holder's will.",
    );
    this.#errors = counter("errors", "{error}", "Warnings and errors that the logger got.");
  }

  batch({ operations, commitMs, lagMs }: BatchTelemetry): void {
    this.#batchSize.record(operations);
    this.#batchSeconds.record(commitMs / 1000);
    this.#lag.record(lagMs / 1000);
  }

  recovery({ runs }: RecoveryTelemetry): void {
    if (runs > 0) this.#recovered.add(runs);
  }

  retention({ removed }: RetentionTelemetry): void {
    if (removed !== null && removed.runs > 0) this.#purged.add(removed.runs);
  }

  lease({ kind }: LeaseTelemetry): void {
    this.#leases.add(1, { [OWN.leaseEnd]: kind });
  }

  error({ level, code }: ErrorTelemetry): void {
    this.#errors.add(1, { [OWN.logLevel]: level, [ATTRIBUTE.errorType]: errorTypeOf(code) });
  }
}
