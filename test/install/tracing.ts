import { cpSync } from "node:fs";
import { Project } from "./project.ts";
import { snippet } from "./snippets.ts";
import { TALK, talkTwice } from "./talk.ts";

const TRACE = `
  import { nodeFileTrace } from "@vercel/nft";
  const { fileList } = await nodeFileTrace(["${TALK}"]);
  console.log(JSON.stringify([...fileList]));
`;

/**
 * Runs the snippet with only the files that @vercel/nft collects, like the deployments of many tools.
 */
export async function traceAndTalk(project: Project, tarball: string): Promise<string> {
  await project.install(tarball, "@vercel/nft");
  project.write(TALK, snippet(TALK));
  project.write("trace.mjs", TRACE);
  const files = JSON.parse(await project.run(process.execPath, ["trace.mjs"])) as string[];
  const image = new Project();
  try {
    for (const file of files) cpSync(project.path(file), image.path(file));
    return `${files.length} files: ${await talkTwice(image, process.execPath, TALK)}`;
  } finally {
    image.remove();
  }
}
