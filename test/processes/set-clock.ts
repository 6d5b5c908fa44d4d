// For `--import`: changes the time of day by the milliseconds in the file CLOCK_FILE, in every thread
// of the process. Timers and monotonic clocks are not changed, like on a real machine.
import { readFileSync } from "node:fs";

const { now } = Date;
const file = process.env.CLOCK_FILE ?? "";
Date.now = () => now() + Number(readFileSync(file, "utf8"));
