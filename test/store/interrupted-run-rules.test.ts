import { describe, expect, test } from "vitest";
import { endInterrupted, OWNER_DIED, REST_UNSTORED } from "../../src/runs/interrupted.ts";

const run = { threadId: "t", runId: "r", epoch: 4 };
const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const opened = { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };

describe("an interrupted run", () => {
  test("is not stored when none of its events was stored", () => {
    expect(endInterrupted({ ...run, events: [] }, OWNER_DIED)).toBeNull();
  });

  test("ends with its open parts closed and one error that says why", () => {
    const ended = endInterrupted({ ...run, events: [started, opened] }, OWNER_DIED);
    expect(ended?.closing.map(({ type }) => type)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
    expect(ended?.closing.at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });
    const unstored = endInterrupted({ ...run, events: [started] }, REST_UNSTORED);
    expect(unstored?.closing).toMatchObject([{ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" }]);
  });

  test("gets no second terminal event", () => {
    const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };
    expect(endInterrupted({ ...run, events: [started, finished] }, OWNER_DIED)?.closing).toEqual(
      [],
    );
  });

  test("ends with its note, if there is one, as a message before the error", () => {
    const end = { ...OWNER_DIED, note: "The server was restarted." };
    const messageId = "interrupted-4";
    expect(endInterrupted({ ...run, events: [started, opened] }, end)?.closing).toMatchObject([
      { type: "TEXT_MESSAGE_END", messageId: "m" },
      { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
      { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "The server was restarted." },
      { type: "TEXT_MESSAGE_END", messageId },
      { type: "RUN_ERROR", code: "RUN_INTERRUPTED" },
    ]);
  });

  test("is stored under a higher epoch than its owner's, so that late writes of the owner do not find it", () => {
    expect(endInterrupted({ ...run, events: [started] }, OWNER_DIED)?.epoch).toBe(5);
  });
});
