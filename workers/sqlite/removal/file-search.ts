import { spawn } from "node:child_process";
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

const SCRIPT = new URL("../../search-files.js", import.meta.url);

/** The script. In the source, the workers are `.ts` files. */
function scriptPath(): string {
  const path = fileURLToPath(SCRIPT);
  return import.meta.url.endsWith(".ts") ? path.replace(/\.js$/, ".ts") : path;
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
