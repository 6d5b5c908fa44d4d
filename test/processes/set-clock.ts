// For `--import`: the time of day is what the file CLOCK_FILE says it is off by, in milliseconds, in
// every thread of the process. Timers and monotonic clocks go on as they were, as on a machine.
import { readFileSync } from "node:fs";

const { now } = Date;
const file = process.env.CLOCK_FILE ?? "";
Date.now = () => now() + Number(readFileSync(file, "utf8"));
