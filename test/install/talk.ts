import type { Project } from "./project.ts";
import { snippet } from "./snippets.ts";

/** The README's snippet without a runtime, as a module. */
export const TALK = "talk.mjs";

/**
 * The same for CommonJS: `require` in place of the import, and a function around the code that awaits.
 */
export function talkAsCommonJs(): string {
  const [first = "", ...rest] = snippet(TALK).split("\n");
  const required = first.replace(/^import (\{.*\}) from (".*");$/, "const $1 = require($2);");
  return `${required}\n(async () => {\n${rest.join("\n")}\n})();\n`;
}

/** Runs it in two processes on one file: the second connects to the runs of both. */
export async function talkTwice(project: Project, node: string, file: string): Promise<string> {
  for (const expected of ["RUN_FINISHED 5\n", "RUN_FINISHED 10\n"]) {
    const output = await project.run(node, [file]);
    if (output !== expected) {
      throw new Error(`node ${file}: expected ${JSON.stringify(expected)}, got:\n${output}`);
    }
  }
  return "5 events live, 10 after a second process";
}
