import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export interface FileSearch {
  /** Path of the database file. */
  readonly path: string;
  /** See `ByteSearch`. */
  readonly needles: readonly string[];
}

export interface FileSearchResult {
  /** How many needles are in no row of a table. */
  readonly searched: number;
  /** How many of these are in one of the files all the same. */
  readonly left: number;
}

// The name must be `require`: tools that trace the files of a server follow only calls of that name.
const require = createRequire(import.meta.url);

/** The script is named twice, as in worker-pool.ts, for the tools that collect the files of a server. */
const SCRIPT = {
  url: new URL("../../search-files.js", import.meta.url),
  resolve: () => require.resolve("../../search-files.js"),
};

function scriptPath(): string {
  // In the source, the workers are `.ts` files like this one.
  const isSource = import.meta.url.endsWith(".ts");
  return isSource ? fileURLToPath(SCRIPT.url).replace(/\.js$/, ".ts") : SCRIPT.resolve();
}

/**
 * Searches the files of the database, in a process of its own: see search-files.ts. Null if that process
 * cannot do it.
 */
export async function searchFiles(search: FileSearch): Promise<FileSearchResult | null> {
  // Without the options of this process: what they preload is not for the child.
  const env = { ...process.env, NODE_OPTIONS: "", ELECTRON_RUN_AS_NODE: "1" };
  const child = spawn(process.execPath, [scriptPath()], { env, stdio: ["pipe", "pipe", "ignore"] });
  const exited = new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(null));
    child.once("close", resolve);
  });
  // The pipe breaks if the child ends early.
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify(search));
  const output = await text(child.stdout);
  return (await exited) === 0 ? (JSON.parse(output) as FileSearchResult) : null;
}
