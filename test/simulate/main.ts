// `npm run simulate`: executes the write path and the runner of several processes in one, in virtual time.
import { UsageError } from "../support/command-line.ts";
import { FAULTS } from "./faults.ts";
import { runLanes } from "./lanes.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { describeAction } from "./plan.ts";
import { Progress } from "./progress.ts";
import { planSchedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";
import { Simulator } from "./simulator.ts";

async function main(options: Options): Promise<number> {
  if (options.list) {
    for (const { name, what } of FAULTS) console.log(`${name.padEnd(22)}${what}`);
    return 0;
  }
  return options.schedule === null
    ? runSchedules(options)
    : showSchedule(options, options.schedule);
}

async function showSchedule({ seed, faults }: Options, schedule: number): Promise<number> {
  const plan = planSchedule(seed, schedule, faults);
  const { violations, timeline } = await new Simulator().run(plan, { hasTimeline: true });
  console.log(timeline.join("\n"));
  for (const { rule, seen } of violations) console.log(`${rule}: ${seen}`);
  return violations.length === 0 ? 0 : 1;
}

async function runSchedules(options: Options): Promise<number> {
  const { seed, schedules } = options;
  console.log(`simulate: seed ${seed}, ${schedules} schedule(s)`);
  const startedAt = performance.now();
  const progress = new Progress(schedules);
  const { failed, ...done } = await runLanes(options, (sum) => progress.show(sum));
  const seconds = (performance.now() - startedAt) / 1000;
  progress.clear();
  if (failed.length > 0) {
    const simulator = new Simulator();
    for (const number of failed) await explain(simulator, options, number);
  }
  const rate = Math.round(done.schedules / seconds);
  console.log(
    `${done.schedules} schedules, ${done.runs} runs, ${failed.length} failed, ${seconds.toFixed(1)} s, ${rate} schedules a second`,
  );
  return failed.length === 0 ? 0 : 1;
}

/** Shrinks a schedule that failed, and prints what happens in its shortest form. */
async function explain(
  simulator: Simulator,
  { seed, faults }: Options,
  number: number,
): Promise<void> {
  const plan = planSchedule(seed, number, faults);
  const [violation] = (await simulator.run(plan)).violations;
  if (violation === undefined) throw new Error(`schedule ${number} fails in its thread alone`);
  console.log(`schedule ${number}: ${violation.rule}\n  ${violation.seen}`);
  const shortest = await shrink(plan, async (candidate) => {
    const { violations } = await simulator.run(candidate);
    return violations.some(({ rule }) => rule === violation.rule);
  });
  const { violations, timeline } = await simulator.run(shortest, { hasTimeline: true });
  console.log(`  ${plan.actions.length} actions, ${shortest.actions.length} in its shortest form:`);
  for (const action of shortest.actions) {
    console.log(`    ${String(action.at).padStart(6)} ms  ${describeAction(action)}`);
  }
  console.log("  its timeline:");
  for (const line of timeline) console.log(`    ${line}`);
  for (const { rule, seen } of violations) console.log(`  ${rule}: ${seen}`);
  const names = faults === FAULTS ? "" : ` --only ${faults.map(({ name }) => name).join()}`;
  console.log(`  repeat: npm run simulate -- --seed ${seed} --schedule ${number}${names}`);
}

try {
  process.exitCode = await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`simulate: ${error.message}\n${USAGE}`);
  process.exitCode = 2;
}
