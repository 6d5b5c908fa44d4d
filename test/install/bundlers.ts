import type { Project } from "./project.ts";
import { snippet } from "./snippets.ts";
import { TALK, talkTwice } from "./talk.ts";

/** The settings by which each bundler leaves the package out, as in the documentation. */
const CONFIGURATIONS = {
  esbuild: {
    packages: ["esbuild"],
    config: "build.mjs",
    code: `
      import { build } from "esbuild";
      await build({
        entryPoints: ["${TALK}"],
        outfile: "dist/server.mjs",
        bundle: true,
        platform: "node",
        format: "esm",
        external: ["durable-agent-runner"],
      });`,
    command: ["node", "build.mjs"],
    output: "dist/server.mjs",
  },
  vite: {
    packages: ["vite"],
    config: "vite.config.mjs",
    code: `
      export default {
        ssr: { external: ["durable-agent-runner"] },
        build: { ssr: "${TALK}", outDir: "dist" },
      };`,
    command: ["npx", "vite", "build"],
    output: "dist/talk.js",
  },
  webpack: {
    packages: ["webpack", "webpack-cli"],
    config: "webpack.config.mjs",
    code: `
      export default {
        mode: "production",
        target: "node",
        entry: "./${TALK}",
        experiments: { outputModule: true },
        output: { filename: "server.mjs", module: true, chunkFormat: "module" },
        externals: { "durable-agent-runner": "module durable-agent-runner" },
      };`,
    command: ["npx", "webpack"],
    output: "dist/server.mjs",
  },
} as const;

export type Bundler = keyof typeof CONFIGURATIONS;
export const BUNDLERS = Object.keys(CONFIGURATIONS) as Bundler[];

export async function bundleAndTalk(
  project: Project,
  tarball: string,
  bundler: Bundler,
): Promise<string> {
  const { packages, config, code, command, output } = CONFIGURATIONS[bundler];
  await project.install(tarball, ...packages);
  project.write(TALK, snippet(TALK));
  project.write(config, code);
  const [program, ...args] = command;
  await project.run(program === "node" ? process.execPath : program, args);
  return talkTwice(project, process.execPath, output);
}
