import { cpSync, existsSync } from "node:fs";
import { converse } from "./conversation.ts";
import { Project } from "./project.ts";
import { snippet } from "./snippets.ts";

const ROUTE = "app/api/copilotkit/[[...slug]]/route.ts";
const PAGE = `export default function Page() { return <p>hello</p>; }`;
const LAYOUT = `
  import type { ReactNode } from "react";
  export default function Layout({ children }: { children: ReactNode }) {
    return <html lang="en"><body>{children}</body></html>;
  }`;

/** Builds and starts the app, then copies its standalone server to another place and starts it there. */
export async function buildAndServe(
  project: Project,
  tarball: string,
  env: NodeJS.ProcessEnv,
  buildArgs: readonly string[],
): Promise<string> {
  await project.install(tarball, "@copilotkit/runtime", "next", "react", "react-dom");
  await project.install("--save-dev", "typescript", "@types/node", "@types/react");
  project.write(ROUTE, snippet(ROUTE));
  project.write("next.config.mjs", snippet("next.config.mjs"));
  project.write("app/page.tsx", PAGE);
  project.write("app/layout.tsx", LAYOUT);

  await project.run("npx", ["next", "build", ...buildArgs]);
  if (existsSync(project.path("data"))) throw new Error("next build made a database");
  const next = project.path("node_modules/next/dist/bin/next");
  const started = await converse({
    project,
    command: process.execPath,
    args: [next, "start"],
    env,
  });

  const image = new Project();
  try {
    cpSync(project.path(".next/standalone"), image.directory, { recursive: true });
    const args = ["server.js"];
    const standalone = await converse({ project: image, command: process.execPath, args, env });
    return `no database from the build; started: ${started}; standalone: ${standalone}`;
  } finally {
    image.remove();
  }
}
