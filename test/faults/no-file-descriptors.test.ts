import "../support/leak-guard.ts";
import { platform } from "node:os";
import { expect, test } from "vitest";
import { closing, delta, opening } from "../support/message-events.ts";
import { spokenIn } from "../support/open-runner.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** Long enough that no lease ends in these tests. */
const LONG_MS = 60_000;
/** More than a runner needs, and few enough to be used up at once. */
const FEW = ["sh", "-c", 'ulimit -n 200; exec "$0" "$@"'];
const REFUSED = [{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }];

test.skipIf(platform() !== "linux")(
  "an instance counts as alive although the judging process has no file descriptor left to inspect it",
  async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, leaseMs: LONG_MS });
    const run = owner.run("t", "long");
    await run.started();
    await run.emit(started({ threadId: "t", runId: "long" }), opening("m"));
    await owner.flush();
    const judge = await RunnerProcess.open({ dbPath, leaseMs: LONG_MS }, { within: FEW });
    // Its reader has the file open.
    expect(await judge.isRunning("t")).toBe(true);
    await judge.useUpDescriptors();
    expect(await judge.isRunning("t")).toBe(true);
    expect(await judge.run("t", "other").done).toMatchObject(REFUSED);
    await judge.kill();
    await run.finish();
    expect((await run.done).at(-1)).toMatchObject({ code: "INCOMPLETE_STREAM" });
    await owner.close();
  },
);

test.skipIf(platform() === "win32")(
  "a run is stored although no writer thread could start for a while after the last writer died",
  async () => {
    const process_ = await RunnerProcess.open({ dbPath: tempDatabase() }, { within: FEW });
    const ids = { threadId: "t", runId: "r" };
    const run = process_.run("t", "r");
    await run.started();
    await run.emit(started(ids), opening("m"), delta("m", "kept"));
    await process_.flush();
    await process_.useUpDescriptors();
    await process_.killWriter();
    // Those that the dead thread has left open.
    await process_.useUpDescriptors();
    await run.emit(closing("m"), finished(ids));
    await run.finish();
    await process_.logged("storing failed and is tried again", 5);
    await process_.freeDescriptors();
    expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await process_.flush();
    expect(spokenIn(await process_.connect("t").done)).toBe("kept");
    expect(await process_.isRunning("t")).toBe(false);
    await process_.close();
  },
);
