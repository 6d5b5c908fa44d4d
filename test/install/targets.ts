import { BUNDLERS, bundleAndTalk } from "./bundlers.ts";
import { converse } from "./conversation.ts";
import { startModelServer } from "./model-server.ts";
import { buildAndServe } from "./next.ts";
import { useExample } from "./next-example.ts";
import type { Project } from "./project.ts";
import { snippet } from "./snippets.ts";
import { TALK, talkAsCommonJs, talkTwice } from "./talk.ts";
import { traceAndTalk } from "./tracing.ts";
import { checkTypes } from "./types.ts";

export interface Target {
  readonly name: string;
  readonly what: string;
  /** Too slow for every run: it runs only by its name, or with all targets. */
  readonly long?: boolean;
  /** Returns its result, in a line. */
  readonly run: (project: Project, tarball: string) => Promise<string>;
}

/** The path of a Node of that major version, from npm. */
async function nodeOf(project: Project, major: 22 | 24): Promise<string> {
  await project.install(`node@${major}`);
  const node = project.path("node_modules/node/bin/node");
  const version = await project.run(node, ["--version"]);
  if (!version.startsWith(`v${major}.`)) throw new Error(`expected Node ${major}, got ${version}`);
  return node;
}

function module(major: 22 | 24): Target {
  return {
    name: `esm-${major}`,
    what: `the README's snippet as a module, on Node ${major}`,
    async run(project, tarball) {
      await project.install(tarball);
      project.write(TALK, snippet(TALK));
      return talkTwice(project, await nodeOf(project, major), TALK);
    },
  };
}

function commonJs(major: 22 | 24): Target {
  return {
    name: `cjs-${major}`,
    what: `the same with require, in CommonJS, on Node ${major}`,
    async run(project, tarball) {
      await project.install(tarball);
      project.write("talk.cjs", talkAsCommonJs());
      return talkTwice(project, await nodeOf(project, major), "talk.cjs");
    },
  };
}

function server(name: string, file: string, ...packages: readonly string[]): Target {
  return {
    name,
    what: `${file} of the documents beside the newest runtime`,
    async run(project, tarball) {
      await project.install(tarball, "@copilotkit/runtime", ...packages);
      project.write(file, snippet(file));
      return withModel((env) =>
        converse({ project, command: process.execPath, args: [file], env }),
      );
    },
  };
}

function next(name: string, bundler: string, buildArgs: readonly string[]): Target {
  return {
    name,
    what: `the Next.js route: ${bundler}, built, started, standalone`,
    long: true,
    run: (project, tarball) => withModel((env) => buildAndServe(project, tarball, env, buildArgs)),
  };
}

async function withModel<T>(use: (env: NodeJS.ProcessEnv) => Promise<T>): Promise<T> {
  const model = await startModelServer();
  try {
    return await use(model.env);
  } finally {
    model.close();
  }
}

export const TARGETS: readonly Target[] = [
  module(24),
  module(22),
  commonJs(24),
  commonJs(22),
  ...BUNDLERS.map((bundler) => ({
    name: bundler,
    what: `a bundle of the snippet by ${bundler}, with the package left out of it`,
    long: bundler !== "esbuild",
    run: (project: Project, tarball: string) => bundleAndTalk(project, tarball, bundler),
  })),
  {
    name: "nft",
    what: "the snippet with the files alone that @vercel/nft collects",
    run: traceAndTalk,
  },
  server("node", "server.mts"),
  {
    ...server("hono", "server-hono.mts", "hono", "@hono/node-server"),
    long: true,
  },
  {
    ...server("express", "server-express.mts", "express"),
    long: true,
  },
  {
    name: "types",
    what: "TypeScript, strict and not, nodenext and bundler, three layouts of @ag-ui/core and rxjs",
    run: checkTypes,
  },
  next("next", "Turbopack", []),
  next("next-webpack", "webpack", ["--webpack"]),
  {
    name: "next-example",
    what: "examples/next: CopilotKit's chat with a login, in a browser",
    long: true,
    run: useExample,
  },
];
