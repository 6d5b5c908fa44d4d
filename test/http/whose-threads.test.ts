import "../support/leak-guard.ts";
import { describe, expect, it } from "vitest";
import { openRunner } from "../support/open-runner.ts";
import { finished, inputOf, type Script, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { type Mount, startUsersServer } from "../support/users-server.ts";

const mounts: readonly Mount[] = ["fetch handler", "Node listener"];
const secret = "answer to run of ada";

describe.each(mounts)("another's thread, with a %s", (mount) => {
  it.each(["throw", "reject", "supersede", "enqueue"] as const)(
    "is unknown to every route, also while it runs, with %s",
    async (onConcurrentRun) => {
      const running = Promise.withResolvers<void>();
      const end = Promise.withResolvers<void>();
      const script: Script = async function* ({ input }) {
        yield started(input);
        yield { type: "TEXT_MESSAGE_START", messageId: input.runId, role: "assistant" };
        yield {
          type: "TEXT_MESSAGE_CONTENT",
          messageId: input.runId,
          delta: `answer to ${input.runId}`,
        };
        running.resolve();
        await end.promise;
        yield { type: "TEXT_MESSAGE_END", messageId: input.runId };
        yield finished(input);
      };
      const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
      const { send, talk } = await startUsersServer({ mount, script, runner });
      const adas = talk("ada", "thread", "run of ada");
      await running.promise;

      const attempt = async () => {
        const told: string[] = [];
        const ask = async (call: string, body?: unknown) => {
          const response = await send("grace", call, { body });
          const text = await response.text();
          told.push(text);
          return { status: response.status, text };
        };
        for (const call of [
          "GET /threads/thread/messages",
          "GET /threads/thread/events",
          "GET /threads/thread/state",
          "DELETE /threads/thread",
        ]) {
          expect((await ask(call)).status).toBe(404);
        }
        expect((await ask("PATCH /threads/thread", { name: "mine" })).status).toBe(404);
        expect((await ask("POST /threads/thread/archive", {})).status).toBe(404);
        for (const query of [
          "",
          "?agentId=default",
          "?includeArchived=true",
          "?resourceId=user%20ada",
        ]) {
          expect(JSON.parse((await ask(`GET /threads${query}`)).text)).toEqual({
            threads: [],
            nextCursor: null,
          });
        }
        const input = inputOf("thread", "run of grace");
        expect((await ask("POST /agent/default/connect", input)).text).toBe("");
        expect(JSON.parse((await ask("POST /agent/default/stop/thread")).text)).toMatchObject({
          stopped: false,
        });
        expect((await ask("POST /agent/default/run", input)).text).toContain("THREAD_NOT_FOUND");
        return told.join("\n");
      };

      expect(await attempt()).not.toContain(secret);
      end.resolve();
      expect(await adas).toContain("RUN_FINISHED");
      expect(await attempt()).not.toContain(secret);
      expect(await (await send("ada", "GET /threads/thread/messages")).text()).toContain(secret);
    },
  );

  it("is not reached by what a client says of itself", async () => {
    const { send, talk } = await startUsersServer({ mount });
    await talk("ada", "thread", "run of ada");
    const claims = {
      "x-resource-id": "user ada",
      "x-user-id": "ada",
      authorization: "Bearer ada",
    };
    const input = {
      ...inputOf("thread", "run of grace"),
      resourceId: "user ada",
      forwardedProps: { resourceId: "user ada" },
      state: { resourceId: "user ada" },
    };
    for (const [call, body] of [
      ["GET /threads/thread/messages?resourceId=user%20ada", undefined],
      ["PATCH /threads/thread", { name: "mine", resourceId: "user ada" }],
      ["POST /agent/default/connect?resourceId=user%20ada", input],
      ["POST /agent/default/run", input],
    ] as const) {
      const response = await send("grace", call, { body, headers: claims });
      expect(await response.text()).not.toContain(secret);
    }
    const first = await send("ada", "GET /threads");
    expect(await first.json()).toMatchObject({
      threads: [{ name: "text of question-run of ada" }],
    });
  });

  it("belongs to whoever runs it first, when two do at once", async () => {
    const { send } = await startUsersServer({ mount });
    const run = async (user: string) => {
      const response = await send(user, "POST /agent/default/run", {
        body: inputOf("thread", `run of ${user}`),
      });
      return response.text();
    };
    const answers = await Promise.all([run("ada"), run("grace")]);
    const refused = answers.filter((answer) => answer.includes("THREAD_NOT_FOUND"));
    expect(refused).toHaveLength(1);
    const lists = await Promise.all(
      ["ada", "grace"].map(async (user) => (await send(user, "GET /threads")).json()),
    );
    expect((lists as { threads: unknown[] }[]).map(({ threads }) => threads.length).sort()).toEqual(
      [0, 1],
    );
  });

  it("is not told by the feed of debug events, which has the events of all", async () => {
    const { send } = await startUsersServer({ mount });
    const before = process.env.NODE_ENV;
    process.env.NODE_ENV = "development";
    try {
      const response = await send("grace", "GET /cpk-debug-events");
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ code: "NOT_FOUND" });
    } finally {
      process.env.NODE_ENV = before;
    }
  });
});
