import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/build.ts";

/**
 * The code blocks of the user documentation that name a file in their first line, by the file's name.
 */
const snippets = new Map(
  ["README.md", "docs/servers.md"].flatMap((page) =>
    [...readFileSync(join(ROOT, page), "utf8").matchAll(/^```\w+\n\/\/ (\S+)\n(.*?)^```$/gms)].map(
      ([, name = "", code = ""]) => [name, code] as const,
    ),
  ),
);

/** The snippet, unchanged from the documentation. */
export function snippet(name: string): string {
  const code = snippets.get(name);
  if (code === undefined) throw new Error(`no snippet begins with // ${name}`);
  return code;
}
