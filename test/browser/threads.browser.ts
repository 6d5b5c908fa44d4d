import { CopilotRuntime } from "@copilotkit/runtime/v2";
import { createCopilotNodeListener } from "@copilotkit/runtime/v2/node";
import { describe, expect, it } from "vitest";
import { withThreadsListener } from "../../src/index.ts";
import { ScriptAgent } from "../support/copilot-server.ts";
import { openRunner } from "../support/open-runner.ts";
import { finished, type Script, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { BASE_PATH, identifyBySession, listening } from "../support/users-server.ts";
import { application } from "./app.ts";
import { screenshot, useBrowser } from "./browser.ts";
import { ThreadsPage } from "./threads-page.ts";

const echo: Script = function* ({ input }) {
  yield started(input);
  yield* text(`answer-${input.runId}`, `You said: ${input.messages.at(-1)?.content}`);
  yield finished(input);
};

const browser = useBrowser();

async function startApplication(
  mode: "multi-route" | "single-route" = "multi-route",
  allowedOrigins: readonly string[] = [],
) {
  const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "enqueue" });
  const runtime = new CopilotRuntime({ runner, agents: { default: new ScriptAgent(echo) } });
  const cors = { origin: "*", allowHeaders: ["content-type", "authorization"] };
  const listener = createCopilotNodeListener({ runtime, basePath: BASE_PATH, mode, cors });
  const threads = { runner, identify: identifyBySession, basePath: BASE_PATH, allowedOrigins };
  const { origin } = await listening(application(withThreadsListener(listener, threads)));
  return origin;
}

async function login(origin: string, user: string, query = ""): Promise<ThreadsPage> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const threads = new ThreadsPage(page);
  await page.goto(`${origin}/login/${user}`);
  if (query !== "") await page.goto(`${origin}/${query}`);
  return threads;
}

describe("useThreads of CopilotKit's React package, in a browser", () => {
  it("lists, pages, renames, archives, unarchives and deletes", async () => {
    const ada = await login(await startApplication(), "ada");
    await ada.say("first question");
    await ada.open("second");
    await ada.say("second question");
    await ada.open("third");
    await ada.say("third question");
    await ada.refresh();
    await ada.lists(["third question", "second question"]);
    await ada.button("More").click();
    await ada.lists(["third question", "second question", "first question"]);
    await screenshot(ada.page, "list");

    await ada.press("second", "Rename");
    await ada.lists(["third question", "second question, renamed", "first question"]);
    await ada.press("third", "Archive");
    await ada.lists(["second question, renamed", "first question"]);
    await ada.page.reload();
    await ada.lists(["second question, renamed", "first question"]);

    await ada.page.getByLabel("with archived").check();
    await ada.lists(["third question", "second question, renamed"]);
    await screenshot(ada.page, "archived");
    await ada.press("third", "Unarchive");
    await ada.page.getByLabel("with archived").uncheck();
    await ada.lists(["third question", "second question, renamed"]);

    await ada.press("third", "Delete");
    await ada.page.reload();
    await ada.lists(["second question, renamed", "first question"]);

    expect(new Set(ada.requests)).toEqual(
      new Set([
        "GET /threads 200",
        "PATCH /threads/second 200",
        "POST /threads/third/archive 200",
        "PATCH /threads/third 200",
        "DELETE /threads/third 200",
      ]),
    );
    expect(await ada.alert()).toBe("");
  });

  it("shows a thread again when it is opened from the list", async () => {
    const ada = await login(await startApplication(), "ada");
    await ada.say("a question");
    await ada.open("other");
    await ada.refresh();
    await ada.button("a question").click();
    await ada.shows("You said: a question");
    expect(await ada.alert()).toBe("");
  });

  it("never shows a user the threads of another", async () => {
    const origin = await startApplication();
    const ada = await login(origin, "ada");
    const grace = await login(origin, "grace");
    await ada.open("of ada");
    await ada.say("the secret of ada");
    await grace.open("of grace");
    await grace.say("the secret of grace");

    for (const user of [ada, grace]) await user.refresh();
    await ada.lists(["the secret of ada"]);
    await grace.lists(["the secret of grace"]);

    // Grace knows the id: the chat is empty, and what she says there is not answered.
    await grace.open("of ada");
    const refused = grace.page.waitForResponse((response) => response.url().endsWith("/run"));
    await grace.send("let me in");
    expect(await (await refused).text()).toContain("THREAD_NOT_FOUND");
    await grace.refresh();
    await grace.lists(["the secret of grace"]);
    await screenshot(grace.page, "grace");
    expect(await grace.page.content()).not.toContain("the secret of ada");

    const stolen = await grace.page.evaluate(async () => {
      const answers: (string | number)[] = [];
      for (const [method, path] of [
        ["GET", "/messages"],
        ["GET", "/events"],
        ["GET", "/state"],
        ["PATCH", ""],
        ["POST", "/archive"],
        ["DELETE", ""],
      ] as const) {
        const answer = await fetch(`/api/copilotkit/threads/of%20ada${path}`, {
          method,
          ...(method === "GET" ? {} : { body: '{"name":"mine"}' }),
        });
        answers.push(answer.status);
        if ((await answer.text()).includes("secret")) answers.push("secret");
      }
      return answers;
    });
    expect(stolen).toEqual([404, 404, 404, 404, 404, 404]);
    await ada.page.reload();
    await ada.lists(["the secret of ada"]);
    await ada.button("the secret of ada").click();
    await ada.shows("You said: the secret of ada");
  });

  it("works over one route for all", async () => {
    const ada = await login(await startApplication("single-route"), "ada", "?single");
    await ada.say("a question");
    await ada.refresh();
    await ada.lists(["a question"]);
    await ada.press("first", "Rename");
    await ada.lists(["a question, renamed"]);
    await ada.page.reload();
    await ada.lists(["a question, renamed"]);
    await ada.press("first", "Delete");
    await ada.page.reload();
    await ada.lists([]);
    expect(new Set(ada.requests)).toEqual(
      new Set(["GET /threads 200", "PATCH /threads/first 200", "DELETE /threads/first 200"]),
    );
    expect(await ada.alert()).toBe("");
  });

  it("works as the list of docs/threads.md", async () => {
    const ada = await login(await startApplication(), "ada");
    await ada.say("a question");
    await ada.page.goto(`${new URL("/?documented", ada.page.url())}`);
    ada.page.on("dialog", (dialog) => dialog.accept("Plans"));
    await ada.button("a question").waitFor();
    await ada.button("Rename").click();
    await ada.button("Plans").click();
    await ada.shows("You said: a question");
    await ada.button("Archive").click();
    await ada.button("Plans").waitFor({ state: "detached" });
    await expect
      .poll(() => new Set(ada.requests))
      .toEqual(
        new Set([
          "GET /threads 200",
          "PATCH /threads/first 200",
          "POST /threads/first/archive 200",
        ]),
      );
  });

  it("works from a page of an allowed origin, with a token in a header", async () => {
    const { origin: pages } = await listening(application(() => {}));
    const query = (runtimeUrl: string) =>
      `${pages}/?runtimeUrl=${encodeURIComponent(runtimeUrl)}&token=session-of-ada`;
    const open = async (allowedOrigins: readonly string[]) => {
      const origin = await startApplication("multi-route", allowedOrigins);
      const ada = new ThreadsPage(await (await browser.newContext()).newPage());
      await ada.page.goto(query(`${origin}/api/copilotkit`));
      return ada;
    };

    const ada = await open([pages]);
    await ada.say("a question");
    await ada.refresh();
    await ada.lists(["a question"]);
    await ada.press("first", "Rename");
    await ada.page.reload();
    await ada.lists(["a question, renamed"]);
    await ada.press("first", "Delete");
    await ada.page.reload();
    await ada.lists([]);
    expect(await ada.alert()).toBe("");

    const refused = await open([]);
    const failure = refused.page.waitForEvent("requestfailed", (request) =>
      request.url().endsWith("/run"),
    );
    await refused.send("a question");
    expect((await failure).method()).toBe("POST");
  });

  it("tells the page of somebody who is not logged in that it cannot", async () => {
    const origin = await startApplication();
    const page = await (await browser.newContext()).newPage();
    const refused = page.waitForResponse((response) => response.url().endsWith("/info"));
    await page.goto(origin);
    expect((await refused).status()).toBe(401);
  });
});
