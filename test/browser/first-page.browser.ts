import { describe, expect, it, onTestFinished } from "vitest";
import { startPostgres } from "../support/postgres.ts";
import { seriousFindings } from "./axe.ts";
import { screenshot, useBrowser } from "./browser.ts";
import { END, FirstPage, startPage } from "./first-page.ts";

const browser = useBrowser();
const NARROW = { width: 390, height: 780 };
/**
 * The first question for the server's status after the first message is answered in the moment in which
 * the page sends its second message. The page has drawn nothing of that message yet.
 */
const STATUS_WITH_RUN = `
  const realFetch = window.fetch;
  let asked = 0;
  let runs = 0;
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  window.fetch = async (input, init) => {
    const url = String(input instanceof Request ? input.url : input);
    if (url.includes("/agent/default/run") && ++runs === 2) release();
    const response = await realFetch(input, init);
    if (!url.includes("/demo/status") || runs !== 1 || ++asked !== 1) return response;
    const status = await response.json();
    window.isStatusHeld = true;
    await released;
    return Response.json({ ...status, isRunning: true });
  };
`;

/** A text that is cut within bold type shows the marks of it. */
function withoutMarks(text = ""): string {
  return text.replaceAll(/[*`]/g, "");
}

describe("the page of npm start", () => {
  it("answers, and loads nothing from elsewhere", async () => {
    const visitor = await FirstPage.open(await browser.newContext(), await startPage());
    await visitor.page.getByRole("heading", { name: "Ask something" }).waitFor();
    await screenshot(visitor.page, "first-page-welcome");
    expect(await seriousFindings(visitor.page)).toEqual([]);

    await visitor.page.getByRole("button", { name: "Can I stop a run" }).click();
    await visitor.ended(1);
    await visitor.lists(["Can I stop a run while it is under way?"]);
    await visitor.page.getByText("Thought about it").click();
    await visitor.page.getByText("Called search_notes").click();
    await visitor.page.getByText('"title": "How to stop a run"').waitFor();
    await screenshot(visitor.page, "first-page-answer");
    expect(await seriousFindings(visitor.page)).toEqual([]);
    expect(visitor.complaints).toEqual([]);
  });

  it("goes on with an answer after a reload in its middle", async () => {
    const visitor = await FirstPage.open(await browser.newContext(), await startPage());
    await visitor.say("How long may a history grow?");
    const reloaded = visitor.page.waitForEvent("load");
    await visitor.breakIt("Reload in mid-answer").click();
    await reloaded;
    await visitor.page.getByText("The page was reloaded.").waitFor();
    await visitor.page.getByText("Answering").waitFor();
    await screenshot(visitor.page, "first-page-reloaded");
    await visitor.ended(2);
    const [, answer = ""] = await visitor.answers();
    for (const title of ["What this server is.", "How to stop a run.", "More than one process."]) {
      expect(answer.split(title)).toHaveLength(2);
    }
    // Read again, the stored conversation is the one that was followed.
    const followed = await visitor.answers();
    await visitor.page.reload();
    await visitor.ended(2);
    expect(await visitor.answers()).toEqual(followed);
    expect(visitor.complaints).toEqual([]);
  });

  it("shows that the server was killed, what was kept of the answer, and carries on", async () => {
    const visitor = await FirstPage.open(await browser.newContext(), await startPage());
    await visitor.say("What is this server?");
    const pid = await visitor.pid();
    // However fast the server is back, the page hears of it only when all of this was seen.
    const seen = Promise.withResolvers<void>();
    await visitor.page.route("**/demo/status?*", async (route) => {
      await seen.promise;
      await route.continue();
    });
    await visitor.breakIt("Kill the server").click();
    await visitor.page.getByText("The server is gone. The page connects again").waitFor();
    await screenshot(visitor.page, "first-page-killed");
    seen.resolve();

    await visitor.page.getByText("The server was killed during this answer.").waitFor();
    expect(await visitor.pid()).not.toBe(pid);
    const [first, kept = ""] = await visitor.answers();
    expect(first).toContain(END);
    expect(kept).toMatch(/^Everything in the notes\./);
    expect(kept).not.toContain(END);
    await screenshot(visitor.page, "first-page-back");
    expect(await seriousFindings(visitor.page)).toEqual([]);

    await visitor.button("Answer again").click();
    await visitor.ended(2);
    const answers = await visitor.answers();
    expect(answers).toHaveLength(2);
    expect(withoutMarks(answers[1]).startsWith(withoutMarks(kept))).toBe(true);
    await visitor.say("And how do I stop a run?");
    await visitor.page.reload();
    await visitor.ended(3);
    expect(await visitor.questions()).toHaveLength(3);
    expect(visitor.complaints).toEqual([]);
  });

  it("kills no sooner than in the middle of the answer, also when it hears of the run at once", async () => {
    const context = await browser.newContext();
    await context.addInitScript({ content: STATUS_WITH_RUN });
    const visitor = await FirstPage.open(context, await startPage());
    await visitor.say("What is this server?");
    await visitor.page.waitForFunction("window.isStatusHeld === true");
    await visitor.breakIt("Kill the server").click();
    await visitor.page.getByText("The server was killed during this answer.").waitFor();
    const [, kept = ""] = await visitor.answers();
    expect(kept).toMatch(/^Everything in the notes\./);
  });

  it("takes the next message after a kill, without answering again", async () => {
    const visitor = await FirstPage.open(await browser.newContext(), await startPage());
    await visitor.breakIt("Kill the server").click();
    await visitor.button("Answer again").waitFor();
    const [kept] = await visitor.answers();
    await visitor.say("How do I stop a run?");
    await visitor.page.reload();
    await visitor.ended(1);
    const answers = await visitor.answers();
    expect(answers).toHaveLength(2);
    expect(answers[0]).toBe(kept);
  });

  it("gives a message back that has not reached the server", async () => {
    const url = await startPage({ AGENT_PACE_MS: "1" });
    const visitor = await FirstPage.open(await browser.newContext(), url);
    await visitor.say("What is this server?");
    await visitor.page.route("**/agent/default/run", (route) => route.abort());
    await visitor.send("Does anybody hear me?");
    await visitor.page.getByText("Send it again.").waitFor();
    expect(await visitor.questions()).toEqual(["What is this server?"]);
    await visitor.page.unroute("**/agent/default/run");
    const box = visitor.page.getByLabel("Message", { exact: true });
    await expect.poll(() => box.inputValue()).toBe("Does anybody hear me?");
    await box.press("Enter");
    await visitor.ended(2);
    expect(await visitor.questions()).toHaveLength(2);
  });

  it("is followed and stopped in a second server", async () => {
    const context = await browser.newContext();
    const visitor = await FirstPage.open(context, await startPage());
    const opened = context.waitForEvent("page");
    await visitor.breakIt("Open in a second server").click();
    const other = new FirstPage(await opened);
    await other.page.waitForURL(/\?thread=/);
    await other.page.getByText("Answering").waitFor();
    expect(new URL(other.page.url()).port).not.toBe(new URL(visitor.page.url()).port);
    expect(await other.pid()).not.toBe(await visitor.pid());
    await screenshot(other.page, "first-page-second-server");

    await other.button("Stop").click();
    await visitor.button("Send").waitFor();
    await other.button("Send").waitFor();
    const [answer = ""] = await visitor.answers();
    expect(answer).not.toContain(END);
    expect(await other.answers()).toEqual([answer]);

    // What is asked in one is followed in the other without a click.
    await other.send("How do I stop a run?");
    await visitor.ended(1);
    expect(await visitor.questions()).toEqual(await other.questions());
    expect([...visitor.complaints, ...other.complaints]).toEqual([]);
  });

  it("does the same on PostgreSQL", async () => {
    const postgres = await startPostgres();
    onTestFinished(() => postgres.stop());
    const context = await browser.newContext();
    const url = await startPage({ DATABASE_URL: await postgres.newDatabase() });
    const visitor = await FirstPage.open(context, url);
    await visitor.breakIt("Kill the server").click();
    await visitor.page.getByText("The server was killed during this answer.").waitFor();
    const [kept = ""] = await visitor.answers();
    expect(kept).toMatch(/^Everything in the notes\./);

    const opened = context.waitForEvent("page");
    await visitor.breakIt("Open in a second server").click();
    const other = new FirstPage(await opened);
    await other.page.waitForURL(/\?thread=/);
    await other.page.getByText("Answering").waitFor();
    await other.button("Stop").click();
    await visitor.button("Send").waitFor();
    await other.button("Send").waitFor();
    expect(await other.answers()).toEqual(await visitor.answers());
    expect((await other.answers())[0]).toBe(kept);
    await visitor.lists(["Tell me everything you know about this server."]);
  });

  it("starts new conversations, opens, renames, archives and deletes them", async () => {
    const visitor = await FirstPage.open(
      await browser.newContext(),
      await startPage({ AGENT_PACE_MS: "1" }),
    );
    await visitor.say("How do I stop a run?");
    await visitor.button("New").click();
    await visitor.page.getByRole("heading", { name: "Ask something" }).waitFor();
    await visitor.say("What is this server?");
    await visitor.lists(["What is this server?", "How do I stop a run?"]);
    await visitor.button("How do I stop a run?").click();
    await expect.poll(() => visitor.questions()).toEqual(["How do I stop a run?"]);
    await visitor.page.goBack();
    await expect.poll(() => visitor.questions()).toEqual(["What is this server?"]);

    await visitor.button("Rename").first().click();
    await visitor.page.getByLabel("Title").fill("About <b>it</b>");
    await screenshot(visitor.page, "first-page-rename");
    await visitor.page.keyboard.press("Enter");
    await visitor.lists(["About <b>it</b>", "How do I stop a run?"]);
    await visitor.button("Archive").first().click();
    await visitor.lists(["How do I stop a run?"]);
    await visitor.page.getByLabel("Show archived").check();
    await visitor.lists(["About <b>it</b>", "How do I stop a run?"]);
    await screenshot(visitor.page, "first-page-archived");
    await visitor.button("Unarchive").click();
    await visitor.page.getByLabel("Show archived").uncheck();
    await visitor.lists(["About <b>it</b>", "How do I stop a run?"]);

    await visitor.button("Delete").first().click();
    await screenshot(visitor.page, "first-page-delete");
    await visitor.button("Keep").click();
    await visitor.button("Delete").first().click();
    await visitor.button("Delete").first().click();
    await visitor.lists(["How do I stop a run?"]);
    await visitor.page.getByRole("heading", { name: "Ask something" }).waitFor();
    await visitor.page.reload();
    await visitor.lists(["How do I stop a run?"]);
    expect(visitor.complaints).toEqual([]);
  });

  it("never shows a visitor the conversations of another", async () => {
    const url = await startPage({ AGENT_PACE_MS: "1" });
    const ada = await FirstPage.open(await browser.newContext(), url);
    const grace = await FirstPage.open(await browser.newContext(), url);
    await ada.say("The secret of Ada");
    await grace.say("The secret of Grace");
    await grace.lists(["The secret of Grace"]);
    await ada.lists(["The secret of Ada"]);

    await grace.page.goto(ada.page.url()); // She knows the id.
    await grace.lists(["The secret of Grace"]);
    expect(await grace.questions()).toEqual([]);
    await grace.send("Let me in");
    await grace.page.getByText("The answer ended early").waitFor();
    expect(await grace.page.content()).not.toContain("The secret of Ada");
    await ada.page.reload();
    await expect.poll(() => ada.questions()).toEqual(["The secret of Ada"]);
  });

  it("is used by the keyboard alone", async () => {
    const visitor = await FirstPage.open(await browser.newContext(), await startPage());
    await visitor.page.locator("textarea:focus").waitFor();
    await visitor.page.keyboard.type("Tell me everything");
    await visitor.page.keyboard.press("Enter");
    await visitor.page.getByText("Answering").waitFor();
    await visitor.page.keyboard.press("Tab");
    await visitor.page.keyboard.press("Enter");
    await visitor.button("Send").waitFor();
    expect(await visitor.page.getByText(END).count()).toBe(0);
    expect(await visitor.questions()).toEqual(["Tell me everything"]);
  });

  it("runs no script of a message, a title or an answer", async () => {
    const url = await startPage({ AGENT_PACE_MS: "1" });
    const visitor = await FirstPage.open(await browser.newContext(), url);
    const attack = `<img src=x onerror="document.title='attacked'">`;
    const answer = `${attack}\n\n[link](javascript:document.title='attacked') **bold**`;
    await visitor.page.route("**/agent/default/run", async (route) => {
      const { threadId, runId } = route.request().postDataJSON();
      const message = { messageId: "a", role: "assistant" };
      const stream = [
        { type: "RUN_STARTED", threadId, runId },
        { type: "TEXT_MESSAGE_START", ...message },
        { type: "TEXT_MESSAGE_CONTENT", ...message, delta: answer },
        { type: "TEXT_MESSAGE_END", ...message },
        { type: "RUN_FINISHED", threadId, runId },
      ].map((event) => `data: ${JSON.stringify(event)}\n\n`);
      await route.fulfill({ contentType: "text/event-stream", body: stream.join("") });
    });
    await visitor.send(attack);
    await visitor.page.locator("strong", { hasText: "bold" }).waitFor();
    expect(await visitor.questions()).toEqual([attack]);
    const article = visitor.page.getByRole("article", { name: "Agent" });
    expect(await article.locator("img").count()).toBe(0);
    expect(await article.locator("a[href^='javascript']").count()).toBe(0);

    await visitor.page.unroute("**/agent/default/run");
    await visitor.button("New").click();
    await visitor.say(attack);
    await visitor.lists([attack]);
    expect(await visitor.page.title()).toBe("durable-agent-runner");
    expect(visitor.complaints).toEqual([]);
  });

  it("is readable in the dark, and in a narrow window", async () => {
    const url = await startPage({ AGENT_PACE_MS: "1" });
    const context = await browser.newContext({ colorScheme: "dark" });
    const visitor = await FirstPage.open(context, url);
    await visitor.say("What happens to my thread when the server is killed?");
    await visitor.lists(["What happens to my thread when the server is killed?"]);
    await screenshot(visitor.page, "first-page-dark");
    expect(await seriousFindings(visitor.page)).toEqual([]);

    await visitor.page.setViewportSize(NARROW);
    await screenshot(visitor.page, "first-page-narrow-dark");
    expect(await seriousFindings(visitor.page)).toEqual([]);
    await visitor.page.emulateMedia({ colorScheme: "light" });
    await screenshot(visitor.page, "first-page-narrow");
    const overflow = "document.documentElement.scrollWidth - innerWidth";
    expect(await visitor.page.evaluate(overflow)).toBe(0);
    await visitor.button("Conversations").click();
    await visitor.button("New").waitFor();
    await screenshot(visitor.page, "first-page-narrow-list");
    expect(await seriousFindings(visitor.page)).toEqual([]);
    await visitor.button("New").click();
    await visitor.page.getByRole("heading", { name: "Ask something" }).waitFor();
    await screenshot(visitor.page, "first-page-narrow-welcome");
  });
});
