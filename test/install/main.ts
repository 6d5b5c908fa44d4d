/*
 * `npm run test:install`: packs the package and installs it into fresh projects, like a user. There is
 * no lock file, so it is tested with the current versions in the registry.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../support/build.ts";
import { Project } from "./project.ts";
import { TARGETS, type Target } from "./targets.ts";

const HELP = `npm run test:install -- [options]
  --list          say what there is, and end
  --only NAME     this target alone; may be given several times
  --short         leave out those that take long, as CI does`;

const { values } = parseArgs({
  options: {
    list: { type: "boolean" },
    only: { type: "string", multiple: true },
    short: { type: "boolean" },
    help: { type: "boolean" },
  },
});

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

if (values.help) console.log(HELP);
else if (values.list) list();
else await main(chosen());

function list(): void {
  for (const { name, what, long } of TARGETS) {
    console.log(`${name.padEnd(14)}${long ? "long   " : "       "}${what}`);
  }
}

function chosen(): readonly Target[] {
  const { only, short } = values;
  const unknown = only?.filter((name) => !TARGETS.some((target) => target.name === name)) ?? [];
  if (unknown.length > 0) {
    const names = TARGETS.map(({ name }) => name).join(", ");
    console.error(`expected --only to be one of ${names}, got ${unknown.join(", ")}`);
    process.exit(2);
  }
  return TARGETS.filter(({ name, long }) => (only ? only.includes(name) : !(short && long)));
}

async function main(targets: readonly Target[]): Promise<void> {
  const packed = new Project();
  const pack = ["pack", "--silent", "--pack-destination", packed.directory, ROOT];
  const file = (await packed.run("npm", pack)).trim().split("\n").at(-1) ?? "";
  const tarball = join(packed.directory, file);
  console.log(`packed ${file}`);

  const failed: string[] = [];
  for (const { name, run } of targets) {
    const began = performance.now();
    const project = new Project();
    process.stdout.write(`${name.padEnd(14)}`);
    const seconds = () => `${((performance.now() - began) / 1000).toFixed(0)} s`.padStart(6);
    try {
      const seen = await run(project, tarball);
      console.log(`ok    ${seconds()}  ${seen}`);
    } catch (error) {
      failed.push(name);
      const message = error instanceof Error ? error.message : String(error);
      console.log(`FAILED${seconds()}\n${message.replace(/^/gm, "    ")}`);
    } finally {
      project.remove();
    }
  }
  packed.remove();
  console.log(failed.length === 0 ? "all passed" : `failed: ${failed.join(", ")}`);
  if (failed.length > 0) process.exitCode = 1;
}
