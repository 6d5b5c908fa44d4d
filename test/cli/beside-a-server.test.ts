import { describe, expect, test } from "vitest";
import { nextLine } from "../support/child-process.ts";
import { cli, startCli } from "../support/cli.ts";
import { delta } from "../support/message-events.ts";
import { processInMidRun } from "../support/runner-process.ts";
import { finished, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const typeOf = (line: string) => (JSON.parse(line) as { type: string }).type;

describe("beside a server in the middle of a run", () => {
  test("the run is seen, and goes on as if nobody had looked", async () => {
    const db = tempDatabase();
    const { owner, finish } = await processInMidRun(db);
    const listed = await cli(["threads", "--running", "--json", "--db", db]);
    expect(listed.lines.map((line) => JSON.parse(line))).toMatchObject([
      { id: "t", isRunning: true },
    ]);
    const compacted = await cli(["migrate", "--compact", "--db", db]);
    expect(compacted.code).toBe(1);
    expect(compacted.stderr).toContain("stop all servers");
    expect((await cli(["check", "--db", db])).code).toBe(0);
    expect((await finish()).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await owner.close();
  });

  test("tail shows the run while it executes, and the next ones, each once", async () => {
    const db = tempDatabase();
    const { owner, run, finish } = await processInMidRun(db);
    const tail = startCli(["tail", "t", "--json", "--db", db]);
    expect(typeOf(await nextLine(tail))).toBe("RUN_STARTED");
    expect(typeOf(await nextLine(tail))).toBe("TEXT_MESSAGE_START");
    expect(await nextLine(tail)).toContain("so far");
    await run.emit(delta("m", "and on"));
    expect(await nextLine(tail)).toContain("and on");
    await finish();
    expect(typeOf(await nextLine(tail))).toBe("TEXT_MESSAGE_END");
    expect(typeOf(await nextLine(tail))).toBe("RUN_FINISHED");
    // An interrupt is resumed with the id of the run that it interrupted.
    const runIds = ["r2", "r3", "r3"];
    for (const [at, runId] of runIds.entries()) {
      const ids = { threadId: "t", runId };
      const next = owner.run("t", runId);
      await next.emit(started(ids), ...text(`m-${at}`, "again"), finished(ids));
      await next.finish();
      await next.done;
    }
    for (const [at, runId] of runIds.entries()) {
      expect(JSON.parse(await nextLine(tail))).toMatchObject({ type: "RUN_STARTED", runId });
      expect(await nextLine(tail)).toContain(`m-${at}`);
      expect(await nextLine(tail)).toContain("again");
      expect(typeOf(await nextLine(tail))).toBe("TEXT_MESSAGE_END");
      expect(typeOf(await nextLine(tail))).toBe("RUN_FINISHED");
    }
    tail.process.kill("SIGINT");
    expect(await tail.exited).toEqual({ code: 0, stderr: "" });
    await owner.close();
  });

  test("tail --until-end ends with the run that stop has stopped", async () => {
    const db = tempDatabase();
    const { owner, run } = await processInMidRun(db);
    const tail = startCli(["tail", "t", "--until-end", "--db", db]);
    expect(await nextLine(tail)).toBe("--- run r");
    const { code, lines } = await cli(["stop", "t", "--db", db]);
    expect({ code, lines }).toEqual({ code: 0, lines: ["The run on t was told to stop."] });
    expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(await tail.exited).toEqual({ code: 0, stderr: "" });
    const again = await cli(["stop", "t", "--json", "--db", db]);
    expect(again.code).toBe(3);
    expect(JSON.parse(again.lines[0] ?? "")).toEqual({ threadId: "t", stopped: false });
    await owner.close();
  });

  test("the run of a process that was killed is ended, and that is said", async () => {
    const db = tempDatabase();
    const { owner } = await processInMidRun(db);
    await owner.kill();
    const { code, lines, stderr } = await cli(["show", "t", "--runs", "--json", "--db", db]);
    expect(code).toBe(0);
    expect(stderr).toContain("recovered runs of dead processes: 1");
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ errorCode: "RUN_INTERRUPTED" });
  });
});

test("nobody's thread is an error of tail and of stop", async () => {
  const db = tempDatabase();
  const { owner, finish } = await processInMidRun(db);
  for (const command of ["tail", "stop"]) {
    const { code, stderr } = await cli([command, "none", "--db", db]);
    expect(code).toBe(3);
    expect(stderr).toContain('there is no thread "none"');
  }
  await finish();
  await owner.close();
});
