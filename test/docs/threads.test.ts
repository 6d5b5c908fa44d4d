import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ANSWER, startModelServer } from "../install/model-server.ts";
import { ROOT } from "../support/build.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { freePort } from "../support/free-port.ts";
import { inputOf } from "../support/scripted-agent.ts";

const execute = promisify(execFile);
const page = readFileSync(join(ROOT, "docs/threads.md"), "utf8");
const snippets = new Map(
  [...page.matchAll(/^```m?ts\n\/\/ (\S+)\n(.*?)^```$/gms)].map(
    ([, name = "", code = ""]) => [name, code] as const,
  ),
);
const ROUTE = "app/api/copilotkit/[[...slug]]/route.ts";

/** Serves the route of a Next.js application, and finds its login, as Next.js does. */
const NEXT = `
  import { registerHooks } from "node:module";
  import { serve } from "@hono/node-server";
  const login = new URL("./login.mts", import.meta.url).href;
  registerHooks({
    resolve: (name, context, next) =>
      name === "@/login" ? { url: login, shortCircuit: true } : next(name, context),
  });
  const route = await import("./${ROUTE}");
  const fetch = (request) => route[request.method](request);
  serve({ fetch, port: Number(process.env.PORT) }, ({ port }) =>
    console.log("listening on port " + port),
  );
`;
const NEXT_SERVER = "next-server.mjs";

const TSCONFIG = {
  compilerOptions: {
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    target: "es2023",
    module: "esnext",
    moduleResolution: "bundler",
    allowImportingTsExtensions: true,
    types: ["node"],
    paths: { "@/login": ["./login.mts"] },
  },
  files: [...snippets.keys()],
};

describe("docs/threads.md", () => {
  // Below the project, where the package finds itself by its name.
  let directory: string;

  beforeAll(() => {
    mkdirSync(join(ROOT, ".vitest"), { recursive: true });
    directory = mkdtempSync(join(ROOT, ".vitest/threads-"));
    const files = [
      ...snippets,
      [NEXT_SERVER, NEXT],
      ["tsconfig.json", JSON.stringify(TSCONFIG)],
    ] as const;
    for (const [name, code] of files) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), code);
    }
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("has snippets that pass the type checker", async () => {
    expect([...snippets.keys()]).toContain(ROUTE);
    const tsc = join(ROOT, "node_modules/.bin/tsc");
    const checked = execute(tsc, ["-p", directory]).catch((error) => error);
    expect((await checked).stdout).toBe("");
  });

  it.each(["server-hono-users.mts", "server-express-users.mts", NEXT_SERVER])(
    "has a server that gives its users their own threads: %s",
    async (file) => {
      const model = await startModelServer();
      onTestFinished(model.close);
      const port = await freePort();
      const cwd = mkdtempSync(join(directory, "run-"));
      const env = { ...process.env, ...model.env, PORT: String(port) };
      const child = spawnChild(process.execPath, [join(directory, file)], {
        cwd,
        env: { ...env, COPILOTKIT_TELEMETRY_DISABLED: "true" },
      });
      expect(await nextLine(child)).toBe(`listening on port ${port}`);

      const send = (user: string | null, call: string, body?: object) => {
        const [method = "", path = ""] = call.split(" ");
        return fetch(`http://127.0.0.1:${port}/api/copilotkit${path}`, {
          method,
          headers: {
            ...(user === null ? {} : { "x-user": user }),
            "content-type": "application/json",
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
      };
      const run = await send("ada", "POST /agent/default/run", inputOf("thread", "run"));
      for (const word of ANSWER) expect(await run.clone().text()).toContain(word);
      const listed = async (user: string) => (await send(user, "GET /threads")).json();
      expect(await listed("ada")).toMatchObject({ threads: [{ id: "thread" }] });
      expect(await listed("grace")).toMatchObject({ threads: [] });
      expect((await send("grace", "GET /threads/thread/messages")).status).toBe(404);
      expect((await send(null, "GET /threads")).status).toBe(401);
      const renamed = await send("ada", "PATCH /threads/thread", { name: "Plans" });
      expect(await renamed.json()).toMatchObject({ name: "Plans" });
      expect((await send("ada", "DELETE /threads/thread")).status).toBe(200);
      expect(await listed("ada")).toMatchObject({ threads: [] });
    },
  );
});
