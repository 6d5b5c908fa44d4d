export { PostgresAgentRunner } from "./runner/postgres-agent-runner.ts";
export type { PostgresAgentRunnerOptions } from "./runner/postgres-options.ts";
