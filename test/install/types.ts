import type { Project } from "./project.ts";
import { snippet } from "./snippets.ts";

/**
 * Versions that npm may have installed beside `@copilotkit/runtime`, which has its own 0.0.59 and
 * 7.8.1.
 */
const LAYOUTS: readonly (readonly string[])[] = [
  [],
  ["@ag-ui/core@0.0.59", "@ag-ui/client@0.0.59", "rxjs@7.8.2"],
  ["@ag-ui/core@1", "@ag-ui/client@1", "rxjs@7.8.2"],
];

/** The runner with the types of the project's own `@ag-ui/client` and `rxjs`. */
const FITS = `
  import type { AbstractAgent, BaseEvent, RunAgentInput } from "@ag-ui/client";
  import { type AgentRunner, CopilotRuntime, InMemoryAgentRunner } from "@copilotkit/runtime/v2";
  import { type RunnableAgent, SqliteAgentRunner } from "durable-agent-runner";
  import { lastValueFrom, type Observable, toArray } from "rxjs";

  declare const agent: AbstractAgent;
  declare const input: RunAgentInput;
  const runner = new SqliteAgentRunner({ dbPath: "threads.db" });
  export const fits: AgentRunner = runner;
  export const either: AgentRunner = process.argv[2] ? runner : new InMemoryAgentRunner();
  export const runtime = new CopilotRuntime({ agents: {}, runner });
  export const stream: Observable<BaseEvent> = runner.run({ threadId: "t", agent, input });
  export const types: Promise<string[]> = lastValueFrom(
    runner.connect({ threadId: "t" }).pipe(toArray()),
  ).then((events) => events.map(({ type }) => type));
  export const own: RunnableAgent = {
    async runAgent({ threadId, runId }: RunAgentInput, { onEvent }) {
      onEvent({ event: { type: "RUN_STARTED", threadId, runId } });
    },
    abortRun() {},
  };
`;

/** The package's own types, without checks of other packages' types. */
const ALONE = `
  import { SqliteAgentRunner, StoreAgentRunner, type RunStore } from "durable-agent-runner";
  export const runner = new SqliteAgentRunner({ dbPath: "threads.db" });
  export declare const store: RunStore;
  export { StoreAgentRunner };
`;

const COMMON = {
  noEmit: true,
  target: "es2023",
  types: ["node"],
  noUncheckedIndexedAccess: true,
};
/** The last configuration is the one that Next.js writes for a project without one. */
const STRICTNESS = [
  { strict: true },
  { strict: true, exactOptionalPropertyTypes: true },
  { strict: false },
];
const MODULES = {
  nodenext: { module: "nodenext", moduleResolution: "nodenext" },
  bundler: { module: "preserve", moduleResolution: "bundler" },
};
const SNIPPETS = ["server.mts", "server-hono.mts", "server-express.mts"];
const ROUTE = "app/api/copilotkit/[[...slug]]/route.ts";

/** Every snippet and every layout, with strict and loose settings. */
export async function checkTypes(project: Project, tarball: string): Promise<string> {
  const others = ["hono", "@hono/node-server", "express", "@types/express"];
  const tools = ["typescript", "@types/node"];
  await project.install(tarball, "@copilotkit/runtime", ...others, ...tools);
  for (const name of SNIPPETS) project.write(name, snippet(name));
  project.write("route.ts", snippet(ROUTE));
  project.write("alone.ts", ALONE);
  let checks = 0;

  async function check(files: readonly string[], options: object): Promise<void> {
    for (const module of Object.values(MODULES)) {
      for (const strictness of STRICTNESS) {
        const compilerOptions = { ...COMMON, ...module, ...strictness, ...options };
        project.write("tsconfig.json", JSON.stringify({ compilerOptions, files }));
        await project.run("npx", ["tsc", "--project", "."]);
        checks++;
      }
    }
  }

  for (const layout of LAYOUTS) {
    if (layout.length > 0) {
      await project.install(...layout);
      project.write("fits.ts", FITS);
    }
    const own = layout.length > 0 ? ["fits.ts"] : [];
    await check([...SNIPPETS, "route.ts", ...own], { skipLibCheck: true });
  }
  await check(["alone.ts"], { skipLibCheck: false });
  return `${checks} checks, ${LAYOUTS.length} layouts of node_modules`;
}
