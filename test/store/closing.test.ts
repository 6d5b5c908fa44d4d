import "../support/leak-guard.ts";
import { MessagePort } from "node:worker_threads";
import { expect, onTestFinished, test, vi } from "vitest";
import type { WriterRequest } from "../../src/protocol/messages.ts";
import type { PortRequest } from "../../src/protocol/port-messages.ts";
import { StoreUnderTest } from "../../src/store/conformance/store-under-test.ts";
import { valueIn } from "../support/database-file.ts";
import { sqliteStore } from "../support/sqlite-store.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** Notes the requests to writers. `onClose` is called when one of them was told to close. */
function requestsToWriters(onClose: () => void): string[] {
  const kinds: string[] = [];
  const { postMessage } = MessagePort.prototype;
  const post = vi.spyOn(MessagePort.prototype, "postMessage");
  onTestFinished(() => post.mockRestore());
  post.mockImplementation(function (this: MessagePort, message: unknown, ...rest: unknown[]) {
    Reflect.apply(postMessage, this, [message, ...rest]);
    if (!Array.isArray(message)) return;
    const [, { kind }] = message as unknown as PortRequest<WriterRequest>;
    kinds.push(kind);
    if (kind === "close") onClose();
  });
  return kinds;
}

test("a store that is asked for history while it closes does not open its file again", async () => {
  const dbPath = tempDatabase();
  const store = new StoreUnderTest(sqliteStore(dbPath));
  const { port } = store;
  await port.ready();
  await store.claimed("t", "r");
  let late: Promise<unknown> | null = null;
  const kinds = requestsToWriters(() => {
    late = expect(port.readHistory("t", null)).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
  });
  await store.close();
  await late;
  expect(late).not.toBeNull();
  expect(kinds.at(-1)).toBe("close");
  // Otherwise its thread would be held for as long as its process lives.
  expect(valueIn(dbPath, "SELECT count(*) FROM runner_instances")).toBe(0);
});

test("a store that is closed while it opens its file leaves no instance behind", async () => {
  const kinds = requestsToWriters(() => undefined);
  for (let round = 0; round < 5; round++) {
    const dbPath = tempDatabase();
    const store = new StoreUnderTest(sqliteStore(dbPath));
    // The claim does not wait for what follows the opening of the file.
    await store.claimed("t", "r");
    await store.close();
    expect(kinds.at(-1)).toBe("close");
    expect(valueIn(dbPath, "SELECT count(*) FROM runner_instances")).toBe(0);
  }
});
