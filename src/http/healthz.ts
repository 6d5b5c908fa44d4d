import type { IncomingMessage, ServerResponse } from "node:http";
import { describeValue } from "../protocol/describe-value.ts";
import { expectNoOther } from "../protocol/no-such-option.ts";
import { assertMaxLag, type HealthOptions, type RunnerHealth } from "../runner/health.ts";

export interface HealthzOptions extends HealthOptions {
  /**
   * `"readiness"` (default): 200 while runs can be stored. `"liveness"`: 503 only when a restart would help, which
   * is after `FILE_REPLACED`. A full disk is no reason to end a process that keeps what it could not store.
   */
  readonly probe?: "readiness" | "liveness" | undefined;
}

/** A runner. */
interface Healthy {
  health(options?: HealthOptions): Promise<RunnerHealth>;
}

/**
 * A handler of the Fetch API for probes: 200 if the runner can store runs, else 503 with a code, both as JSON. It
 * names no user, no thread, no path and no message of an error, and needs no login.
 *
 * @throws {TypeError} there is no runner, or an option is wrong.
 */
export function healthz(runner: Healthy, options: HealthzOptions = {}): () => Promise<Response> {
  const answer = answering("healthz", runner, options);
  return async () => {
    const { status, headers, body } = await answer();
    return new Response(body, { status, headers });
  };
}

/**
 * `healthz` as a listener of a Node server, or a handler of Express.
 *
 * @throws {TypeError} there is no runner, or an option is wrong.
 */
export function healthzListener(
  runner: Healthy,
  options: HealthzOptions = {},
): (req: IncomingMessage, res: ServerResponse) => Promise<void> {
  const answer = answering("healthzListener", runner, options);
  return async (_req, res) => {
    const { status, headers, body } = await answer();
    res.writeHead(status, headers).end(body);
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

const HEADERS = { "content-type": "application/json", "cache-control": "no-store" };

function answering(
  name: string,
  runner: Healthy,
  { probe = "readiness", maxLagMs, ...unknown }: HealthzOptions,
): () => Promise<Answer> {
  if (typeof runner?.health !== "function") {
    throw new TypeError(`${name}: expected a runner, got ${describeValue(runner)}`);
  }
  expectNoOther(name, unknown, ["probe", "maxLagMs"]);
  if (probe !== "readiness" && probe !== "liveness") {
    const got = describeValue(probe);
    throw new TypeError(`${name}: expected probe to be "readiness" or "liveness", got ${got}`);
  }
  if (maxLagMs !== undefined) assertMaxLag(name, maxLagMs);
  return async () => {
    const { ok, code, lagMs, activeRuns } = await runner.health({ maxLagMs });
    const isUp = probe === "liveness" ? code !== "FILE_REPLACED" : ok;
    const body = JSON.stringify({ status: isUp ? "ok" : "failing", code, lagMs, activeRuns });
    return { status: isUp ? 200 : 503, headers: HEADERS, body };
  };
}
