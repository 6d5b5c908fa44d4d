/**
 * Names of OpenTelemetry's conventions for generative AI, which are in development:
 * https://github.com/open-telemetry/semantic-conventions-genai
 */
export const ATTRIBUTE = {
  operation: "gen_ai.operation.name",
  provider: "gen_ai.provider.name",
  agent: "gen_ai.agent.name",
  conversation: "gen_ai.conversation.id",
  model: "gen_ai.request.model",
  inputTokens: "gen_ai.usage.input_tokens",
  outputTokens: "gen_ai.usage.output_tokens",
  cachedInputTokens: "gen_ai.usage.cache_read.input_tokens",
  cacheWriteInputTokens: "gen_ai.usage.cache_creation.input_tokens",
  reasoningTokens: "gen_ai.usage.reasoning.output_tokens",
  inputMessages: "gen_ai.input.messages",
  outputMessages: "gen_ai.output.messages",
  tokenType: "gen_ai.token.type",
  tool: "gen_ai.tool.name",
  toolType: "gen_ai.tool.type",
  toolCall: "gen_ai.tool.call.id",
  toolArguments: "gen_ai.tool.call.arguments",
  toolResult: "gen_ai.tool.call.result",
  errorType: "error.type",
} as const;

/** Names of our own, for what the conventions do not know. */
export const OWN = {
  runId: "durable_agent_runner.run.id",
  epoch: "durable_agent_runner.run.epoch",
  status: "durable_agent_runner.run.status",
  isRerun: "durable_agent_runner.run.rerun",
  events: "durable_agent_runner.run.events",
  waitedMs: "durable_agent_runner.run.waited_ms",
  resourceId: "durable_agent_runner.resource.id",
  hasResult: "durable_agent_runner.tool.has_result",
  logLevel: "durable_agent_runner.log.level",
  leaseEnd: "durable_agent_runner.lease.end",
} as const;

/** Bounds of histograms in seconds, for a tool and for an agent, as the conventions want them. */
export const SECONDS = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
export const AGENT_SECONDS = [
  0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
];
export const TOKENS = [
  1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
];

/** For an error without a code, and for one whose code is no identifier. */
const OTHER = "_OTHER";

/** The value of `error.type`: agents may give any text as a code, and metrics need few different values. */
export function errorTypeOf(code: string | null): string {
  return code !== null && /^[\w.:-]{1,64}$/.test(code) ? code : OTHER;
}

/** The provider of a model that nobody named. */
export const UNKNOWN_PROVIDER = OTHER;
