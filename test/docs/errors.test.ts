import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "../support/build.ts";

it("docs/errors.md lists every error code once, and no other", () => {
  const source = readFileSync(join(ROOT, "src/protocol/errors.ts"), "utf8");
  const codes = [...source.matchAll(/^ {2}([A-Z_]+): (?:fatal|passing)\(/gm)].map(
    ([, code]) => code,
  );
  expect(codes).toContain("CANNOT_OPEN");
  const page = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
  const cells = [...page.matchAll(/^\| (`[^|]+`) \|/gm)].map(([, cell = ""]) => cell);
  const listed = cells.flatMap((cell) => cell.replaceAll("`", "").split(", "));
  expect(listed.sort()).toEqual(codes.sort());
});
