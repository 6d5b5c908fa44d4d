import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { eachThread } from "../../src/cli/each-thread.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

test("threads that are used while all are read come once, as the others", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const ids = Array.from({ length: 600 }, (_, at) => `t${at}`);
  const useAll = (run: string) =>
    Promise.all(ids.map((id) => runToEnd(runner, id, `${run}-${id}`, answeringAgent())));
  await useAll("first");
  const read: string[] = [];
  for await (const { id } of eachThread(runner, {}, new AbortController().signal)) {
    if (read.length === 0) await useAll("second");
    read.push(id);
  }
  expect(read.toSorted()).toEqual(ids.toSorted());
});
