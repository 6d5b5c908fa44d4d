import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { startCopilotServer } from "../support/copilot-server.ts";
import { heldBy, openCoreClient } from "../support/core-client.ts";
import { valueIn } from "../support/database-file.ts";
import { openRunner, replayOf } from "../support/open-runner.ts";
import { finished, type Script, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "thread";

describe("the suggestions that a chat asks for", () => {
  test.each([
    ["one route", "single", "single-route"],
    ["many routes", "rest", "multi-route"],
  ] as const)("leave no thread behind, with %s", async (_, transport, mode) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const suggestions = [{ title: "More", message: "Tell me more" }];
    const askedOn: string[] = [];
    const script: Script = function* ({ input }) {
      const { toolChoice } = (input.forwardedProps ?? {}) as { toolChoice?: unknown };
      yield started(input);
      if (toolChoice === undefined) {
        yield* text("a1", "answer");
      } else {
        askedOn.push(input.threadId);
        const toolCallId = "s1";
        yield { type: "TOOL_CALL_START", toolCallId, toolCallName: "copilotkitSuggest" };
        yield { type: "TOOL_CALL_ARGS", toolCallId, delta: JSON.stringify({ suggestions }) };
        yield { type: "TOOL_CALL_END", toolCallId };
      }
      yield finished(input);
    };
    const server = await startCopilotServer(runner, script, mode);
    const client = openCoreClient(server, { threadId, transport });
    client.core.addSuggestionsConfig({ instructions: "Suggest.", available: "always" });
    const suggested = new Promise<void>((resolve) => {
      client.core.subscribe({ onSuggestionsFinishedLoading: () => resolve() });
    });
    await client.say("u1");
    await suggested;
    expect(client.core.getSuggestions("default").suggestions).toMatchObject(suggestions);
    expect(askedOn).toHaveLength(1);
    expect(await replayOf(runner, askedOn[0] ?? "")).toEqual([]);

    const reloaded = openCoreClient(server, { threadId, transport });
    await reloaded.connect();
    expect(heldBy(reloaded)).toEqual(heldBy(client));
    await server.close();
    await runner.close();
    const threads = "SELECT group_concat(DISTINCT thread_id) FROM agent_runs";
    expect(valueIn(dbPath, threads)).toBe(threadId);
    expect(valueIn(dbPath, "SELECT group_concat(thread_id) FROM run_state")).toBe(threadId);
    expect([...client.failures, ...reloaded.failures]).toEqual([]);
  });
});
