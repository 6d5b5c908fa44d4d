// `node open-when-told.child.ts DB_PATH THREAD_ID`: prints "ready", waits for a line on stdin, opens
// the file and prints how many runs the thread has, or the errors that it got instead.
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
