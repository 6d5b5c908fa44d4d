import { describe, expect, it } from "vitest";
import { Random } from "../../support/random.ts";
import type { Call, CallKind } from "../record/recording.ts";
import { SimulatedDisk } from "./disk.ts";
import type { Style } from "./style.ts";

const random = new Random(1);
const NOTHING: Style = { name: "nothing", choose: () => -1, tears: () => false };

let tick = 0;
function call(kind: CallKind, inode: number, data = ""): Call {
  tick += 2;
  const bytes = Buffer.from(data);
  const when = { begin: tick, end: tick + 1 };
  return { kind, inode, ...when, offset: 0, length: bytes.length, data: bytes, failed: false };
}

function namesAfterCut(disk: SimulatedDisk): string[] {
  return [...disk.afterCut(NOTHING, random).keys()];
}

describe("after a power cut, the names on a simulated disk", () => {
  it("are there when the directory was synced, and may be missing when only the file was synced", () => {
    const disk = new SimulatedDisk(new Map());
    disk.begin(call("create", 7, "a"));
    disk.begin(call("write", 7, "text"));
    disk.end(call("sync", 7));
    expect(namesAfterCut(disk)).toEqual([]);
    disk.end(call("sync-directory", 1));
    expect(disk.afterCut(NOTHING, random).get("a")?.toString()).toBe("text");
  });

  it("may be the old names, until the directory is synced", () => {
    const file = { inode: 7, content: Buffer.from("old") };
    const disk = new SimulatedDisk(new Map([["a", file]]));
    disk.begin(call("rename", 0, "a/b"));
    expect(namesAfterCut(disk)).toEqual(["a"]);
    disk.end(call("sync-directory", 1));
    expect(namesAfterCut(disk)).toEqual(["b"]);
    disk.begin(call("unlink", 0, "b"));
    expect(namesAfterCut(disk)).toEqual(["b"]);
    disk.end(call("sync-directory", 1));
    expect(namesAfterCut(disk)).toEqual([]);
  });

  it("lead to the new file when an inode was used again", () => {
    const disk = new SimulatedDisk(new Map([["a", { inode: 7, content: Buffer.from("old") }]]));
    disk.begin(call("unlink", 0, "a"));
    disk.begin(call("create", 7, "b"));
    disk.begin(call("write", 7, "new"));
    expect(disk.names.get("b")?.content.toString()).toBe("new");
    expect(disk.afterCut(NOTHING, random).get("a")?.toString()).toBe("old");
  });
});
