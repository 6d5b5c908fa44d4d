import { cpSync, existsSync } from "node:fs";
import { basename, join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { ROOT } from "../support/build.ts";
import { during, type ServerCommand } from "./conversation.ts";
import type { Project } from "./project.ts";

const EXAMPLE = join(ROOT, "examples/next");
/** What an installation, a build and a run leave there. */
const LEFT_OUT = ["node_modules", ".next", "data", "next-env.d.ts", "tsconfig.tsbuildinfo"];
const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
const QUESTION = "Is anybody there?";
const END = "I always say the same.";

/** Builds `examples/next` on the packed package, and uses it in a browser, over a restart of the server. */
export async function useExample(project: Project, tarball: string): Promise<string> {
  const filter = (path: string) => !LEFT_OUT.includes(basename(path));
  cpSync(EXAMPLE, project.directory, { recursive: true, filter });
  // Takes the place of the package of the repository. All others are those of the lockfile.
  await project.install(tarball);
  await project.run("npx", ["next", "build"]);
  if (existsSync(project.path("data"))) throw new Error("next build made a database");
  if (!existsSync(CHROMIUM)) return "built; not used, because there is no Chromium";

  const next = project.path("node_modules/next/dist/bin/next");
  const server = { project, command: process.execPath, args: [next, "start"], env: {} };
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  try {
    const ada = await browser.newContext();
    const grace = await browser.newContext();
    await onPage(server, ada.newPage(), async (page) => {
      await logIn(page, "Ada");
      await ask(page);
      await page.getByText("This conversation is stored").waitFor();
      await page.reload();
      await page.getByText(END).waitFor();
    });
    await onPage(server, ada.newPage(), async (page) => {
      await page.getByRole("button", { name: QUESTION }).click();
      await page.getByText(END).waitFor();
    });
    await onPage(server, grace.newPage(), async (page) => {
      await logIn(page, "Grace");
      await ask(page);
      await page.getByRole("button", { name: QUESTION }).waitFor();
      const listed = await page.getByRole("button", { name: QUESTION }).count();
      if (listed !== 1) throw new Error(`Grace sees ${listed} conversations`);
    });
    return "built; a reload in mid-answer, a restart and two users in Chromium";
  } finally {
    await browser.close();
  }
}

/** On a server that is started for it, on a port of its own. Cookies are the same for all ports. */
async function onPage(
  server: ServerCommand,
  opened: Promise<Page>,
  use: (page: Page) => Promise<void>,
): Promise<void> {
  const page = await opened;
  await during(server, async (agentUrl) => {
    await page.goto(new URL("/", agentUrl).href);
    await use(page);
  });
  await page.close();
}

/** Waits until the chat is there for input. */
async function logIn(page: Page, name: string): Promise<void> {
  const connected = page.waitForResponse((response) => response.url().endsWith("/connect"));
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Go on" }).click();
  await connected;
}

async function ask(page: Page): Promise<void> {
  const box = page.getByRole("main").getByRole("textbox");
  await box.fill(QUESTION);
  await box.press("Enter");
}
