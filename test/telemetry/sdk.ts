import { context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { onTestFinished } from "vitest";
import { type InstrumentOptions, instrumentRunners } from "../../src/opentelemetry.ts";

/** A reader that is asked by the test. */
class AskedReader extends MetricReader {
  protected override async onShutdown() {}
  protected override async onForceFlush() {}
}

interface Point {
  readonly attributes: object;
  readonly value: unknown;
}

/** The SDK of OpenTelemetry, in memory, with the runners of this process instrumented, until the test ends. */
export function instrumented(options: InstrumentOptions = {}) {
  const exporter = new InMemorySpanExporter();
  const processor = new SimpleSpanProcessor({ exporter });
  const tracerProvider = new TracerProvider({ spanProcessors: [processor] });
  const reader = new AskedReader();
  const meterProvider = new MeterProvider({ readers: [reader] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const instrumentation = instrumentRunners({ tracerProvider, meterProvider, ...options });
  onTestFinished(async () => {
    instrumentation.dispose();
    context.disable();
    await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()]);
  });
  return {
    instrumentation,
    tracer: tracerProvider.getTracer("test"),
    /** The spans that have ended, in order. */
    spans: (): ReadableSpan[] => exporter.getFinishedSpans(),
    span: (name: string): ReadableSpan => {
      const found = exporter.getFinishedSpans().find((span) => span.name === name);
      if (found === undefined) throw new Error(`there is no span ${name}`);
      return found;
    },
    /** The points of a metric so far. */
    points: async (name: string): Promise<readonly Point[]> => {
      const { resourceMetrics } = await reader.collect();
      const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
      return all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? [];
    },
  };
}
