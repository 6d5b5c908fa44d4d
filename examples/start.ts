// `npm start`: builds the page, and starts the server (examples/server.ts, which reads the environment)
// again whenever it dies. The page's button "Open in a second server" starts another one on the same
// database. Ends with the exit code of the server.
import { announcement } from "./announcement.ts";
import { buildPage } from "./supervisor/build-page.ts";
import type { ToServer } from "./supervisor/messages.ts";
import { SupervisedServer } from "./supervisor/supervised-server.ts";

type Role = "first" | "second";
const servers = new Map<Role, { readonly server: SupervisedServer; port: number | null }>();
let isEnding = false;
let exitCode = 0;
let page: ToServer | undefined;

start("first");
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
// After the server's process has been started: both take their time, side by side.
page = await builtPage();
for (const { server } of servers.values()) server.send(page);

function start(role: Role): void {
  let announced = false;
  const other: Role = role === "first" ? "second" : "first";
  const server = new SupervisedServer(role === "first" ? undefined : "0", {
    listening(port, place) {
      const entry = servers.get(role);
      if (entry) entry.port = port;
      if (page) server.send(page);
      tellOther(other, port);
      if (announced) console.log(`Process ${server.pid} serves port ${port} again.`);
      else if (role === "first") console.log(announcement(port, place));
      else console.log(`\nA second server, on the same threads: http://127.0.0.1:${port}`);
      announced = true;
    },
    startOther() {
      const running = servers.get(other);
      if (running === undefined) start(other);
      else if (running.port !== null) tellOther(role, running.port);
    },
    died(how) {
      const entry = servers.get(role);
      if (entry) entry.port = null;
      console.log(`\nThe ${role} server has died (${how}), and is started again.`);
    },
    ended(code) {
      servers.delete(role);
      tellOther(other, null);
      exitCode ||= code;
      if (role === "first" && !isEnding) end();
      if (servers.size === 0) process.exit(exitCode);
    },
  });
  servers.set(role, { server, port: null });
}

/** Answers a server that has asked for the other one. A server that has not asked ignores it. */
function tellOther(role: Role, port: number | null): void {
  servers.get(role)?.server.send({ kind: "other-server", port });
}

async function builtPage(): Promise<ToServer> {
  const began = performance.now();
  try {
    const files = await buildPage();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(`The page was built in ${seconds} s.`);
    return { kind: "page", files };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(`The page could not be built, the rest works: ${reason}`);
    return { kind: "page-failed", reason };
  }
}

/** A second signal ends everything at once. */
function onSignal(): void {
  if (!isEnding) {
    console.log("\nClosing when the runs in flight are done. Press Ctrl-C again to leave at once.");
    end();
    return;
  }
  exitCode = 1;
  for (const { server } of [...servers.values()]) server.end("SIGKILL");
}

/** Lets the runs in flight finish. */
function end(): void {
  isEnding = true;
  for (const { server } of [...servers.values()]) server.end("SIGTERM");
}
