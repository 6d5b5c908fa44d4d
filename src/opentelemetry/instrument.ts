import { subscribe, unsubscribe } from "node:diagnostics_channel";
import {
  context,
  diag,
  type MeterProvider,
  metrics,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { describeValue } from "../protocol/describe-value.ts";
import { noSuchOption } from "../protocol/no-such-option.ts";
import { CHANNELS } from "../telemetry/channels.ts";
import type {
  BatchTelemetry,
  ErrorTelemetry,
  EventTelemetry,
  LeaseTelemetry,
  RecoveryTelemetry,
  RetentionTelemetry,
  RunTelemetry,
} from "../telemetry/messages.ts";
import { RunMetrics, StoreMetrics } from "./metrics.ts";
import { RunSpan } from "./run-span.ts";

export interface InstrumentOptions {
  /** Default: the global provider of `@opentelemetry/api`. */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Default: the global provider of `@opentelemetry/api`. */
  readonly meterProvider?: MeterProvider | undefined;
  /**
   * Whether spans hold what was said: messages, arguments and results of tools, the messages of errors, and the
   * resource of a run. Default false.
   */
  readonly content?: boolean | undefined;
  /** `gen_ai.provider.name` of runs whose agent does not tell it, such as `"openai"`. */
  readonly provider?: string | undefined;
}

/** Spans and metrics are made until this is disposed of. */
export interface Instrumentation {
  /** Ends the spans of runs that go on. A second call does nothing. */
  dispose(): void;
  [Symbol.dispose](): void;
}

const SCOPE = "durable-agent-runner";

/**
 * Makes spans and metrics of all runners of this process, by OpenTelemetry's conventions for generative AI. Runs
 * that have begun before get none. `docs/telemetry.md` lists them.
 *
 * @throws {TypeError} an option is wrong.
 */
export function instrumentRunners(options: InstrumentOptions = {}): Instrumentation {
  const { tracerProvider, meterProvider, content = false, provider = null } = checked(options);
  const tracer = (tracerProvider ?? trace).getTracer(SCOPE);
  const meter = (meterProvider ?? metrics).getMeter(SCOPE);
  const runMetrics = new RunMetrics(meter);
  const storeMetrics = new StoreMetrics(meter);
  const ofRun = { tracer, metrics: runMetrics, content, provider };
  const spans = new Map<RunTelemetry, RunSpan>();
  /** What puts the context of the caller of `run` back. */
  const attached = new Map<RunTelemetry, { dispose(): void }>();
  const { on, off } = subscriptions();

  on<RunTelemetry>(`tracing:${CHANNELS.run}:start`, (run) => {
    const span = new RunSpan(run, ofRun);
    spans.set(run, span);
    // The agent then executes within the span. Older versions of the API cannot attach a context.
    if (typeof context.attach === "function") attached.set(run, context.attach(span.context));
  });
  on<RunTelemetry>(`tracing:${CHANNELS.run}:end`, (run) => {
    attached.get(run)?.dispose();
    attached.delete(run);
  });
  on<EventTelemetry>(CHANNELS.event, ({ run, event }) => spans.get(run)?.observe(event));
  on<RunTelemetry>(`tracing:${CHANNELS.run}:asyncEnd`, (run) => {
    const span = spans.get(run);
    spans.delete(run);
    span?.end();
  });
  on<BatchTelemetry>(CHANNELS.batch, (batch) => storeMetrics.batch(batch));
  on<RecoveryTelemetry>(CHANNELS.recovery, (recovery) => storeMetrics.recovery(recovery));
  on<RetentionTelemetry>(CHANNELS.retention, (purge) => storeMetrics.retention(purge));
  on<LeaseTelemetry>(CHANNELS.lease, (lease) => storeMetrics.lease(lease));
  on<ErrorTelemetry>(CHANNELS.error, (error) => storeMetrics.error(error));

  const dispose = () => {
    off();
    for (const span of spans.values()) span.abandon();
    spans.clear();
  };
  return { dispose, [Symbol.dispose]: dispose };
}

function subscriptions() {
  const ends: (() => void)[] = [];
  return {
    /** A subscriber that throws would end the process: Node reports it as an uncaught exception. */
    on<Message>(name: string, handle: (message: Message) => void): void {
      const subscriber = (message: unknown) => {
        try {
          handle(message as Message);
        } catch (error) {
          diag.error(`${SCOPE}: a message of ${name} was not recorded`, error);
        }
      };
      subscribe(name, subscriber);
      ends.push(() => void unsubscribe(name, subscriber));
    },
    off(): void {
      for (const end of ends.splice(0)) end();
    },
  };
}

const RULES: Readonly<
  Record<keyof InstrumentOptions, readonly [expected: string, (value: unknown) => boolean]>
> = {
  tracerProvider: ["a TracerProvider", (value) => hasMethod(value, "getTracer")],
  meterProvider: ["a MeterProvider", (value) => hasMethod(value, "getMeter")],
  content: ["true or false", (value) => typeof value === "boolean"],
  provider: ["a text that is not empty", (value) => typeof value === "string" && value !== ""],
};

function checked(options: InstrumentOptions): InstrumentOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `instrumentRunners: expected an object of options, got ${describeValue(options)}`,
    );
  }
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(RULES, name)) {
      throw noSuchOption("instrumentRunners", name, Object.keys(RULES));
    }
    const [expected, accepts] = RULES[name as keyof InstrumentOptions];
    if (value !== undefined && !accepts(value)) {
      throw new TypeError(
        `instrumentRunners: expected ${name} to be ${expected}, got ${describeValue(value)}`,
      );
    }
  }
  return options;
}

function hasMethod(value: unknown, name: string): boolean {
  return typeof (value as Record<string, unknown> | null | undefined)?.[name] === "function";
}
