// The server of `npm start` (examples/start.ts): an ordinary CopilotKit runtime on a durable runner, and a
// page to talk to it. It also works alone, then without the page. Environment: PORT, DB_PATH,
// DATABASE_URL (a PostgreSQL database, instead of the file of DB_PATH; any number of servers may share
// it), AGENT_PACE_MS (milliseconds that the demo agent takes for a token), OPENAI_API_KEY (adds
// "assistant"), ALLOWED_HOSTS (further host names, separated by commas, under which it may be called
// and whose pages may call it).
import "./no-telemetry.ts";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { BuiltInAgent, CopilotRuntime } from "@copilotkit/runtime/v2";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";
import {
  healthzListener,
  type Logger,
  SqliteAgentRunner,
  withThreadsListener,
} from "../src/index.ts";
import { PostgresAgentRunner } from "../src/postgres.ts";
import { announcement, BASE_PATH } from "./announcement.ts";
import { Gate } from "./gate.ts";
import { PageServer } from "./page-server.ts";
import { ShowcaseAgent } from "./showcase-agent.ts";
import { SupervisorLink } from "./supervisor/link.ts";
import { visitorOf } from "./visitor.ts";

const HOST = "127.0.0.1";
const FAREWELL_MS = 500;
/** Over PostgreSQL, a killed server counts as dead after this time. The page waits for it. */
const LEASE_MS = 3000;

const port = wholeNumber("PORT", 4141, 65_535);
const paceMs = wholeNumber("AGENT_PACE_MS", 25, 60_000);
const dbPath = process.env.DB_PATH || "./data/threads.db";
const connectionString = process.env.DATABASE_URL;
/** The URL holds a password. */
const place = connectionString ? "the database of DATABASE_URL" : dbPath;

// The default logger prints whole errors. Here, a line for each is enough.
const logger: Logger = { debug() {}, info() {}, warn: report, error: report };
const runner = await openRunner();
const runtime = new CopilotRuntime({
  runner,
  agents: {
    default: new ShowcaseAgent(paceMs),
    ...(process.env.OPENAI_API_KEY
      ? { assistant: new BuiltInAgent({ model: "openai/gpt-5-mini" }) }
      : {}),
  },
});
const gate = new Gate((process.env.ALLOWED_HOSTS ?? "").split(",").filter((name) => name !== ""));
const cors = { origin: (origin: string) => (gate.allowsOrigin(origin) ? origin : null) };
const runtimeListener = createCopilotNodeListener({ runtime, basePath: BASE_PATH, cors });
// The threads of each visitor of the page. Commands in a shell have no cookie: theirs belong to nobody.
const visitorsListener = withThreadsListener(runtimeListener, {
  runner,
  basePath: BASE_PATH,
  logger,
  identify(_request, req) {
    const visitor = visitorOf(req);
    return visitor === null ? new Response(null, { status: 401 }) : { resourceId: visitor };
  },
});
const supervisor = SupervisorLink.open();
const pages = new PageServer(runner, supervisor);
const listener = gate.guard((req, res) => {
  if (pages.serves(req)) return pages.answer(req, res);
  return visitorOf(req) === null ? runtimeListener(req, res) : visitorsListener(req, res);
});
const health = healthzListener(runner);
// Probes name no host that the gate would know.
const server = createServer((req, res) =>
  req.url === "/healthz" ? health(req, res) : listener(req, res),
);

await listen();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, shutDown);
supervisor?.onEnd(shutDown);
const listeningOn = (server.address() as AddressInfo).port;
if (supervisor) supervisor.isListening(listeningOn, place);
else console.log(announcement(listeningOn, place, false));

async function openRunner() {
  try {
    const options = { onConcurrentRun: "enqueue", logger } as const;
    const opened = connectionString
      ? new PostgresAgentRunner({ ...options, connectionString, leaseMs: LEASE_MS })
      : new SqliteAgentRunner({ ...options, dbPath });
    await opened.ready();
    return opened;
  } catch (error) {
    return exit(
      1,
      `Cannot open ${connectionString ? place : `the database ${dbPath}`}: ${messageOf(error)}`,
    );
  }
}

async function listen() {
  server.listen(port, HOST);
  try {
    await once(server, "listening");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EADDRINUSE") exit(1, message);
    exit(1, `Port ${port} is in use. Set PORT to another one, or to 0 to pick a free one.`);
  }
}

async function shutDown() {
  if (!server.listening) process.exit(1);
  if (!supervisor)
    console.log("\nClosing when the runs in flight are done. Press Ctrl-C again to leave at once.");
  const closed = once(server.close(), "close");
  try {
    await runner.close();
  } catch (error) {
    exit(1, `Not everything could be stored: ${messageOf(error)}`);
  }
  // The last events of those runs may not have reached their clients yet.
  server.closeIdleConnections();
  await Promise.race([closed, sleep(FAREWELL_MS)]);
  process.exit(0);
}

function wholeNumber(name: string, fallback: number, max: number): number {
  const text = process.env[name];
  if (!text) return fallback;
  if (/^\d+$/.test(text) && Number(text) <= max) return Number(text);
  return exit(2, `${name} must be a whole number from 0 to ${max}, got ${JSON.stringify(text)}`);
}

function report(fields: object, message: string) {
  console.error("err" in fields ? `${message}: ${messageOf(fields.err)}` : message);
}

function exit(code: number, message: string): never {
  console.error(message);
  process.exit(code);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
