import { expect, test } from "vitest";
import { failureList, filesToRunAgain, isExcused } from "./failure-list.ts";

const dead = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ file: `${at}.test.ts`, signal: "SIGSEGV" }));

const passed = { failed: [], died: [], errors: [] };

test("at most three files are run again: more deaths have a cause that another run hides", () => {
  expect(filesToRunAgain({ ...passed, died: dead(3) })).toHaveLength(3);
  expect(filesToRunAgain({ ...passed, died: dead(4) })).toEqual([]);
  expect(isExcused({ ...passed, died: dead(4) }, [])).toBe(false);
});

test("a long message is cut", () => {
  const [, line = ""] = failureList({ ...passed, errors: ["x".repeat(10_000)] }, []);
  expect(line.length).toBeLessThan(400);
});
