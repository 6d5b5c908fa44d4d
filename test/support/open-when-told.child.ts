// `node open-when-told.child.ts DB_PATH THREAD_ID`: prints "ready", and waits for a line on stdin. Then
// it opens the file and prints the number of the thread's runs, or the errors that it got.
import { once } from "node:events";
import { lastValueFrom, toArray } from "rxjs";
import { SqliteAgentRunner } from "../../src/index.ts";

const [dbPath = "", threadId = ""] = process.argv.slice(2);
console.log("ready");
await once(process.stdin, "data");
process.stdin.destroy();
await using runner = new SqliteAgentRunner({ dbPath });
const events = await lastValueFrom(runner.connect({ threadId }).pipe(toArray()));
const errors = events.filter((event) => "code" in event);
const runs = events.filter(({ type }) => type === "RUN_STARTED").length;
console.log(errors.length > 0 ? JSON.stringify(errors) : `${runs} runs`);
