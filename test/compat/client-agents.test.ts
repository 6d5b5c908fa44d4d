import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { ClientAgent0, ClientAgent1 } from "../support/client-agents.ts";
import { openRunner, replayOf, runToEnd, spokenIn } from "../support/open-runner.ts";
import { finished, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

describe("agents of the real clients", () => {
  const script = function* ({ input }: { input: { threadId: string; runId: string } }) {
    yield started(input);
    yield* text("m", "hello from a client");
    yield finished(input);
  };
  const agents = [
    ["0.0.59", () => new ClientAgent0(script, { threadId: "t" })],
    ["1.0.0", () => new ClientAgent1(script, { threadId: "t" })],
  ] as const;

  test.each(agents)("an AbstractAgent of @ag-ui/client %s runs and is stored", async (_, make) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const events = await runToEnd(runner, "t", "r", make());
    expect(spokenIn(events)).toBe("hello from a client");
    expect(events.at(-1)).toMatchObject(finished(ids));
    expect(spokenIn(await replayOf(runner, "t"))).toBe("hello from a client");
  });

  test.each(agents)(
    "an AbstractAgent of @ag-ui/client %s that throws gives RUN_ERROR",
    async (_, make) => {
      const runner = openRunner({ dbPath: tempDatabase() });
      const agent = make();
      agent.run = () => {
        throw new Error("no model today");
      };
      const events = await runToEnd(runner, "t", "r", agent);
      expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", message: "no model today" });
    },
  );
});
