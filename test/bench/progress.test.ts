import { describe, expect, test } from "vitest";
import { showProgress } from "../../bench/progress.ts";

function collected(isTTY: boolean) {
  return {
    isTTY,
    columns: 200,
    text: "",
    write(text: string) {
      this.text += text;
    },
  };
}

describe("the benchmark's progress", () => {
  test("is a line for each piece of work without a terminal", () => {
    const stream = collected(false);
    let now = 0;
    const progress = showProgress([1, 2], stream, () => now);
    progress.start("first");
    now = 1500;
    progress.end("ten");
    progress.start("second");
    now = 3500;
    progress.end("twenty");
    progress.stop();
    expect(stream.text).toBe("    1/2  first: ten (1.5 s)\n    2/2  second: twenty (2.0 s)\n");
  });

  test("is a bar on a terminal, with the remaining time at the current pace", () => {
    const stream = collected(true);
    let now = 0;
    const progress = showProgress([1, 3], stream, () => now);
    progress.start("first");
    now = 2000;
    progress.end("ten");
    stream.text = "";
    progress.start("second");
    progress.stop();
    expect(stream.text).toContain("█".repeat(6) + "░".repeat(18));
    expect(stream.text).toContain("25 %  2/2  2 s, 6 s left  second");
    // The line is empty again at the end.
    expect(stream.text.endsWith("\r\u001b[K")).toBe(true);
  });
});
