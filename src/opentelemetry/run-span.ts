import {
  type Attributes,
  type Context,
  context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { EventLike } from "../events/event.ts";
import type { ModelUsage } from "../events/usage.ts";
import type { RunTelemetry } from "../telemetry/messages.ts";
import { inputMessages, OutputMessages } from "./content.ts";
import { ATTRIBUTE, errorTypeOf, OWN } from "./conventions.ts";
import type { RunMetrics } from "./metrics.ts";
import { ToolSpans } from "./tool-spans.ts";

export interface RunSpanOptions {
  readonly tracer: Tracer;
  readonly metrics: RunMetrics;
  readonly content: boolean;
  readonly provider: string | null;
}

/** The `invoke_agent` span of a run. Its parent is the span of whoever called `run`. */
export class RunSpan {
  /** Has this span: what the agent does belongs to it. */
  readonly context: Context;
  readonly #run: RunTelemetry;
  readonly #options: RunSpanOptions;
  readonly #span: Span;
  readonly #startedAt = performance.now();
  readonly #tools: ToolSpans;
  readonly #output = new OutputMessages();

  constructor(run: RunTelemetry, options: RunSpanOptions) {
    this.#run = run;
    this.#options = options;
    const { tracer, content, provider, metrics } = options;
    const { agentId, threadId, runId, isRerun, resourceId } = run;
    const attributes = {
      [ATTRIBUTE.operation]: "invoke_agent",
      [ATTRIBUTE.conversation]: threadId,
      [OWN.runId]: runId,
      [OWN.isRerun]: isRerun,
      ...(agentId !== null && { [ATTRIBUTE.agent]: agentId }),
      ...(provider !== null && { [ATTRIBUTE.provider]: provider }),
      ...(content && resourceId !== null && { [OWN.resourceId]: resourceId }),
    };
    const name = agentId === null ? "invoke_agent" : `invoke_agent ${agentId}`;
    const parent = context.active();
    this.#span = tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes }, parent);
    this.context = trace.setSpan(parent, this.#span);
    this.#tools = new ToolSpans({
      ...{ tracer, content, context: this.context },
      onExecuted: (tool, seconds) => metrics.executed(run, tool, seconds),
    });
    metrics.begun();
  }

  observe(event: EventLike): void {
    this.#tools.observe(event);
    if (!this.#options.content) return;
    this.#output.observe(event);
    if (event.type !== "RUN_STARTED") return;
    // Of a thread that goes on, these are the new messages.
    const { messages } = (event.input ?? {}) as { messages?: unknown };
    const json = inputMessages(messages);
    if (json !== null) this.#span.setAttribute(ATTRIBUTE.inputMessages, json);
  }

  /** The run is over. */
  end(): void {
    const { metrics, content, provider } = this.#options;
    const { status, errorCode, error, epoch, events, waitedMs, usage } = this.#run;
    const span = this.#span;
    this.#tools.end();
    span.setAttributes({ [OWN.status]: status, [OWN.events]: events, ...usageAttributes(usage) });
    if (epoch !== null) span.setAttribute(OWN.epoch, epoch);
    if (waitedMs !== null) span.setAttribute(OWN.waitedMs, waitedMs);
    const json = content ? this.#output.json(this.#tools.parts) : null;
    if (json !== null) span.setAttribute(ATTRIBUTE.outputMessages, json);
    if (error !== undefined) {
      span.setAttribute(ATTRIBUTE.errorType, errorTypeOf(errorCode));
      // What an agent says of its failure may hold what its user said.
      const message = content ? { message: error.message } : {};
      span.setStatus({ code: SpanStatusCode.ERROR, ...message });
    }
    span.end();
    metrics.ended(this.#run, (performance.now() - this.#startedAt) / 1000, provider);
  }

  /** Nobody listens any more: the span ends as it is. */
  abandon(): void {
    this.#tools.end();
    this.#span.end();
    this.#options.metrics.abandoned();
  }
}

const COUNTS = [
  "inputTokens",
  "outputTokens",
  "cachedInputTokens",
  "cacheWriteInputTokens",
  "reasoningTokens",
] as const satisfies readonly (keyof ModelUsage)[];

/** The tokens of all models together. Names a model and a provider if there is only one. */
function usageAttributes(usage: readonly ModelUsage[]): Attributes {
  const attributes: Attributes = {};
  for (const name of COUNTS) {
    const counts = usage.map((entry) => entry[name]).filter((count) => count !== null);
    if (counts.length > 0) attributes[ATTRIBUTE[name]] = counts.reduce((sum, next) => sum + next);
  }
  const [only] = usage.length === 1 ? usage : [];
  if (only !== undefined && only.model !== null) attributes[ATTRIBUTE.model] = only.model;
  if (only !== undefined && only.provider !== null) attributes[ATTRIBUTE.provider] = only.provider;
  return attributes;
}
