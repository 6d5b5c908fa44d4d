import { describe, expect, test } from "vitest";
import { decideClaim } from "../../src/runs/claim.ts";
import type { ThreadHolder } from "../../src/runs/holder.ts";

const holder: ThreadHolder = {
  runId: "r",
  ownerId: "other",
  claimNumber: 7,
  epoch: 3,
  isAlive: true,
};
const decide = (held: Partial<ThreadHolder> | null) =>
  decideClaim({
    instanceId: "me",
    claimNumber: 7,
    holder: held === null ? null : { ...holder, ...held },
  });

describe("a claim of a thread", () => {
  test("takes a free thread", () => {
    expect(decide(null)).toEqual({ kind: "take" });
  });

  test("is refused while the owner of its run lives", () => {
    expect(decide({})).toEqual({ kind: "refuse" });
    expect(decide({ ownerId: null })).toEqual({ kind: "refuse" });
  });

  test("ends the run of a dead owner first", () => {
    expect(decide({ isAlive: false })).toEqual({ kind: "recover" });
    expect(decide({ ownerId: null, isAlive: false })).toEqual({ kind: "recover" });
  });

  test("is answered again as before when it was committed and its answer was lost", () => {
    expect(decide({ ownerId: "me" })).toEqual({ kind: "repeat", epoch: 3 });
  });

  test("is not confused with a claim of another instance with the same number", () => {
    expect(decide({ ownerId: "other", claimNumber: 7 })).toEqual({ kind: "refuse" });
  });

  test("ends an orphaned run of its own instance, although the instance lives", () => {
    expect(decide({ ownerId: "me", claimNumber: 6 })).toEqual({ kind: "recover" });
    expect(decide({ ownerId: "me", claimNumber: null })).toEqual({ kind: "recover" });
    expect(decide({ ownerId: "me", epoch: null })).toEqual({ kind: "recover" });
  });
});
