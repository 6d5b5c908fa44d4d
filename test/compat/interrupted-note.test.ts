import "../support/leak-guard.ts";
import { join } from "node:path";
import type { RunAgentInput } from "@ag-ui/core";
import { expect, test } from "vitest";
import { OWNER_DIED } from "../../src/runs/interrupted.ts";
import { verifyWithClients } from "../events/clients.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { startCopilotServer } from "../support/copilot-server.ts";
import { type CoreClient, heldBy, openCoreClient } from "../support/core-client.ts";
import { runRows } from "../support/database-file.ts";
import { openRunner, replayOf, typesOf, watch } from "../support/open-runner.ts";
import { finished, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CHILD = join(import.meta.dirname, "../support/killed-run.child.ts");
const threadId = "thread";
const NOTE = "The server was restarted before this answer was complete.";

/** A process in the middle of a run, whose output so far is in the file. */
async function startRun(dbPath: string) {
  const child = spawnChild(process.execPath, [CHILD, dbPath, threadId, "killed-run"]);
  expect(await nextLine(child)).toBe("stored");
  return child;
}

const contentsOf = ({ agent }: CoreClient) => agent.messages.map(({ content }) => content);

const CUT_OFF = ["text of question-killed-run", "one two three"];

test("a page shows the note of a run whose process was killed, once, and goes on", async () => {
  const dbPath = tempDatabase();
  await (await startRun(dbPath)).kill();
  const runner = openRunner({ dbPath, interruptedNote: NOTE });
  const inputs: RunAgentInput[] = [];
  const server = await startCopilotServer(runner, function* ({ input }) {
    inputs.push(input);
    yield started(input);
    yield* text(`a${inputs.length}`, "answer");
    yield finished(input);
  });
  const first = openCoreClient(server, { threadId });
  await first.connect();
  expect(contentsOf(first)).toEqual([...CUT_OFF, NOTE]);
  // The page could tell its user of the error by itself: the client reports it.
  expect(first.failures).toEqual([OWNER_DIED.message]);
  const again = openCoreClient(server, { threadId });
  await again.connect();
  expect(heldBy(again)).toEqual(heldBy(first));

  await first.say("u2", "go on");
  expect(contentsOf(first)).toEqual([...CUT_OFF, NOTE, "go on", "answer"]);
  expect(inputs[0]?.messages.map(({ content }) => content)).toEqual([...CUT_OFF, NOTE, "go on"]);
  const stored = JSON.parse(runRows(dbPath, threadId)[1]?.input ?? "") as RunAgentInput;
  expect(stored.messages.map(({ id }) => id)).toEqual(["u2"]);
  const replay = await replayOf(runner, threadId);
  await verifyWithClients(replay);

  await server.close();
  await runner.close();
  // The note is a part of the run: it does not depend on the option of who shows the run.
  expect(await replayOf(openRunner({ dbPath }), threadId)).toEqual(replay);
});

test("a page that follows a run of another process is given the note when that process is killed", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, interruptedNote: NOTE });
  await runner.ready();
  const child = await startRun(dbPath);
  const page = watch(runner.connect({ threadId }));
  await page.until(({ delta }) => delta === "three" || delta === "one two three");
  await child.kill();
  const events = await page.done;
  expect(typesOf(events).slice(-5)).toEqual([
    "TEXT_MESSAGE_END",
    ...["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"],
    "RUN_ERROR",
  ]);
  expect(events.at(-3)).toMatchObject({ delta: NOTE });
  await verifyWithClients(events);
  expect((await replayOf(runner, threadId)).slice(-5)).toEqual(events.slice(-5));
});

test("a run whose process was killed gets no note by default", async () => {
  const dbPath = tempDatabase();
  await (await startRun(dbPath)).kill();
  const replay = await replayOf(openRunner({ dbPath }), threadId);
  expect(typesOf(replay).filter((type) => type === "TEXT_MESSAGE_START")).toHaveLength(1);
});
