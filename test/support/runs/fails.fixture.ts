import { beforeAll, describe, expect, test } from "vitest";

test("fails", () => {
  expect("one").toBe("two");
});

describe("a group", () => {
  beforeAll(() => {
    throw new Error("no ground to stand on");
  });

  test("is not run", () => {
    expect(1).toBe(1);
  });
});

test("leaves a rejection behind", () => {
  void Promise.reject(new Error("nobody waits for this"));
  expect(1).toBe(1);
});
