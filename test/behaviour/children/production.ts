// Makes runners in ways that cause warnings. The warnings are on stderr.
import { SqliteAgentRunner } from "../../../src/index.ts";

const [dbPath] = process.argv.slice(2);
const runners = [new SqliteAgentRunner({ dbPath }), new SqliteAgentRunner({ dbPath })];
await Promise.all(runners.map((runner) => runner.close()));
