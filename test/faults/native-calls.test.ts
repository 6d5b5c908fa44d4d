import "../support/leak-guard.ts";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { NativeGate } from "../../src/native/native-gate.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}.ts`, import.meta.url));

/** Ends worker threads while they load the driver, in a process of its own. */
function endWhileLoading(how: "close" | "exit", rounds: number) {
  const args = ["--import", fixture("waits-to-load"), fixture("ended-while-loading.child")];
  return spawnChild(process.execPath, [...args, how, String(rounds)]).exited;
}

// Unless the end of its loading is waited for, the driver aborts the process in about every third round.
describe("a thread that is loading the driver", () => {
  it("does not end the process when its pool is closed", async () => {
    expect(await endWhileLoading("close", 12)).toEqual({ code: 0, stderr: "" });
  });

  it("does not change the exit code of a process that exits meanwhile", async () => {
    for (let round = 0; round < 6; round++) {
      expect(await endWhileLoading("exit", 1)).toEqual({ code: 7, stderr: "" });
    }
  });
});

// Unless the end of the call is waited for, zlib aborts the process within some rounds.
describe("a thread that deflates", () => {
  it("does not end the process when its pool is closed", async () => {
    const child = spawnChild(process.execPath, [
      fixture("ended-while-deflating.child"),
      "close",
      "60",
    ]);
    expect(await child.exited).toEqual({ code: 0, stderr: "" });
  });

  it("does not change the exit code of a process that exits meanwhile", async () => {
    for (let round = 0; round < 8; round++) {
      const child = spawnChild(process.execPath, [
        fixture("ended-while-deflating.child"),
        "exit",
        "1",
      ]);
      expect(await child.exited).toEqual({ code: 7, stderr: "" });
    }
  });
});

describe("a gate", () => {
  it("is shut before the listeners that were there before it hear of the exit", async () => {
    const child = spawnChild(process.execPath, [fixture("exit-listener.child")]);
    expect(await nextLine(child)).toBe("RUNNER_CLOSED");
    expect(await child.exited).toEqual({ code: 0, stderr: "" });
  });

  it("lets no thread load once it is shut", () => {
    const gate = new NativeGate();
    gate.shut();
    let loaded = false;
    const load = () => {
      loaded = true;
    };
    expect(() => gate.pass(load)).toThrow(expect.objectContaining({ code: "RUNNER_CLOSED" }));
    expect(loaded).toBe(false);
    expect(gate.isBusy).toBe(false);
  });

  it("knows which threads are loading, shut or not", () => {
    const gate = new NativeGate();
    // As in another thread: the memory is shared.
    const seen = new NativeGate(gate.cell);
    gate.pass(() => {
      expect(seen.isBusy).toBe(true);
      seen.shut();
      expect(seen.isBusy).toBe(true);
    });
    expect(seen.isBusy).toBe(false);
  });

  it("forgets a thread whose loading failed", () => {
    const gate = new NativeGate();
    const fail = () => {
      throw new Error("no such module");
    };
    expect(() => gate.pass(fail)).toThrow("no such module");
    expect(gate.isBusy).toBe(false);
  });
});
