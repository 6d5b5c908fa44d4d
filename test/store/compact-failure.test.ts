import { once } from "node:events";
import { expect, test } from "vitest";
import { compactEvents } from "../../workers/sqlite/runs/read-journal.ts";

test("a run that cannot be compacted is stored as it was emitted, and the process gets a warning", async () => {
  let reads = 0;
  const events = [
    { type: "RUN_STARTED" },
    {
      type: "TEXT_MESSAGE_CONTENT",
      get messageId(): string {
        if (++reads === 1) throw new Error("no id yet");
        return "message";
      },
    },
  ];
  const warned = once(process, "warning");
  const { taken } = compactEvents(events, "{}");
  expect(JSON.parse(taken.rest)).toEqual([
    { type: "RUN_STARTED" },
    { type: "TEXT_MESSAGE_CONTENT", messageId: "message" },
  ]);
  expect(await warned).toMatchObject([{ message: expect.stringContaining("no id yet") }]);
});
