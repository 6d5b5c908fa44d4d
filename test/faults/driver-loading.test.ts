import "../support/leak-guard.ts";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { LoadGate } from "../../src/protocol/load-gate.ts";
import { spawnChild } from "../support/child-process.ts";

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

describe("a gate", () => {
  it("lets no thread load once it is shut", () => {
    const gate = new LoadGate();
    gate.shut();
    let loaded = false;
    const load = () => {
      loaded = true;
    };
    expect(() => gate.pass(load)).toThrow(expect.objectContaining({ code: "RUNNER_CLOSED" }));
    expect(loaded).toBe(false);
    expect(gate.isLoading).toBe(false);
  });

  it("knows which threads are loading, shut or not", () => {
    const gate = new LoadGate();
    // As in another thread: the memory is shared.
    const seen = new LoadGate(gate.cell);
    gate.pass(() => {
      expect(seen.isLoading).toBe(true);
      seen.shut();
      expect(seen.isLoading).toBe(true);
    });
    expect(seen.isLoading).toBe(false);
  });

  it("forgets a thread whose loading failed", () => {
    const gate = new LoadGate();
    const fail = () => {
      throw new Error("no such module");
    };
    expect(() => gate.pass(fail)).toThrow("no such module");
    expect(gate.isLoading).toBe(false);
  });
});
