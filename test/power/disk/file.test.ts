import { describe, expect, it } from "vitest";
import { Random } from "../../support/random.ts";
import { SimulatedFile } from "./file.ts";
import type { Style } from "./style.ts";

const random = new Random(1);
const never = () => false;
const NOTHING: Style = { name: "nothing", choose: () => -1, tears: never };
const EVERYTHING: Style = { name: "all", choose: (all) => all.length - 1, tears: never };

const PAGE = 4096;
const page = (letter: string) => Buffer.alloc(PAGE, letter);
/** A call that began at `begin`, and ended one tick later. */
const at = (begin: number) => ({ begin, end: begin + 1 });

const lettersIn = (image: Buffer) =>
  Array.from({ length: image.length / 512 }, (_, sector) =>
    String.fromCharCode(image[sector * 512] ?? 0),
  ).join("");
const nothing = (file: SimulatedFile) => lettersIn(file.afterCut(NOTHING, random));
const everything = (file: SimulatedFile) => lettersIn(file.afterCut(EVERYTHING, random));

describe("after a power cut, a simulated file", () => {
  it("holds synced writes, and may hold other writes", () => {
    const file = new SimulatedFile("f");
    file.write(0, page("a"), at(1));
    file.synced(at(3));
    file.write(0, page("b"), at(5));
    expect(nothing(file)).toBe("aaaaaaaa");
    expect(everything(file)).toBe("bbbbbbbb");
  });

  it("may hold or lack a write that had not ended when the sync began", () => {
    const file = new SimulatedFile("f");
    file.write(0, page("a"), { begin: 1, end: 4 });
    file.synced({ begin: 2, end: 6 });
    expect(nothing(file)).toBe("");
    file.synced({ begin: 7, end: 8 });
    expect(nothing(file)).toBe("aaaaaaaa");
  });

  it("may have each sector in a different version", () => {
    const file = new SimulatedFile("f", page("a"));
    file.write(0, page("b"), at(1));
    file.write(0, page("c"), at(3));
    const versions = [0, 1, -1];
    let sector = 0;
    const style = { ...EVERYTHING, choose: () => versions[sector++ % 3] ?? -1 };
    expect(lettersIn(file.afterCut(style, random))).toBe("bcabcabc");
  });

  it("has bytes of both versions in a torn sector", () => {
    const file = new SimulatedFile("f", page("a"));
    file.write(512, Buffer.alloc(512, "b"), at(1));
    const image = file.afterCut({ ...EVERYTHING, tears: () => true }, random).toString();
    expect(image).toMatch(/^a{512}b+a+$/);
    expect(image).toHaveLength(PAGE);
  });

  it("has a hole that no later sync fills where a sync failed", () => {
    const file = new SimulatedFile("f");
    file.write(0, page("a"), at(1));
    file.failed(at(3));
    file.write(PAGE, page("b"), at(5));
    file.synced(at(7));
    expect(nothing(file)).toBe("\0\0\0\0\0\0\0\0bbbbbbbb");
    expect(lettersIn(file.content)).toBe("aaaaaaaabbbbbbbb");
  });

  it("has no such hole after the page was written again and synced", () => {
    const file = new SimulatedFile("f");
    file.write(0, page("a"), at(1));
    file.failed(at(3));
    file.write(512, Buffer.alloc(512, "b"), at(5));
    file.synced(at(7));
    expect(nothing(file)).toBe("abaaaaaa");
  });

  it("is truncated to the new length, or not at all", () => {
    const file = new SimulatedFile("f", page("a"));
    file.truncate(512, at(1));
    expect(nothing(file)).toBe("aaaaaaaa");
    expect(everything(file)).toBe("a");
    file.write(1024, Buffer.alloc(512, "b"), at(3));
    expect(everything(file)).toBe("a\0b");
    const onlyTheData = {
      ...NOTHING,
      choose: (all: readonly { at: number | null }[]) =>
        all[0]?.at === null ? -1 : all.length - 1,
    };
    expect(lettersIn(file.afterCut(onlyTheData, random))).toBe("aabaaaaa");
  });
});
