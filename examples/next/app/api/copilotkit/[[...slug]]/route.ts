import { CopilotRuntime, createCopilotRuntimeHandler } from "@copilotkit/runtime/v2";
import { SqliteAgentRunner, withThreads } from "durable-agent-runner";
import { cookies } from "next/headers";
import { agent } from "@/agent";
import { SESSION_COOKIE, userOf } from "@/session";

// One runner for the process: in development, this module is loaded again with each change.
const kept = globalThis as { runner?: SqliteAgentRunner };
kept.runner ??= new SqliteAgentRunner({
  dbPath: "./data/threads.db",
  onConcurrentRun: "enqueue",
  resources: "required", // a call without a user is refused, whoever makes it
  interruptedNote: "The server was restarted before this answer was complete.",
});
const runner = kept.runner;

const basePath = "/api/copilotkit";
const runtime = new CopilotRuntime({ agents: { default: agent }, runner });
const handler = withThreads(createCopilotRuntimeHandler({ runtime, basePath }), {
  runner,
  basePath,
  async identify() {
    const user = userOf((await cookies()).get(SESSION_COOKIE)?.value);
    return user === null ? new Response(null, { status: 401 }) : { resourceId: user };
  },
});

export const GET = (request: Request) => handler(request);
export { GET as DELETE, GET as PATCH, GET as POST };
