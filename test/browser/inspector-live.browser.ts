import { describe, expect, it } from "vitest";
import { closing, delta, opening } from "../support/message-events.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { finished, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { useBrowser } from "./browser.ts";
import { InspectorPage, startInspector } from "./inspector-page.ts";
import { storeThreads } from "./inspector-threads.ts";

const browser = useBrowser();

/** Holds back what the page is told of a thread and of the end of its run, until `tell()`. Counts the events. */
const HELD_BACK = `
  window.events = 0;
  const held = new Promise((resolve) => { window.tell = resolve; });
  const { addEventListener } = EventSource.prototype;
  EventSource.prototype.addEventListener = function (name, take) {
    addEventListener.call(this, name, async (message) => {
      if (name !== "events") await held;
      else window.events += JSON.parse(message.data).items.length;
      take(message);
    });
  };
`;

describe("the inspector's page, of a run that another process executes", () => {
  it("shows the run as it grows, and what is stored of it when it has ended", async () => {
    const dbPath = tempDatabase();
    const server = await RunnerProcess.open({ dbPath });
    const run = server.run("live", "live-run");
    await run.started();
    const ids = { threadId: "live", runId: "live-run" };
    await run.emit(started(ids));
    const inspector = await InspectorPage.open(browser, await startInspector(dbPath));

    const thread = inspector.threads().filter({ hasText: /live/ });
    await thread.getByText("running").waitFor({ state: "attached" });
    await thread.click();
    await run.emit(opening("m"), delta("m", "The answer "));
    await inspector.shows("The answer");
    await run.emit(delta("m", "grows"));
    await inspector.shows("The answer grows");
    await inspector.screenshot("live");

    await inspector.view("Events");
    const events = inspector.list("Events");
    await expect.poll(() => events.getByText("TEXT_MESSAGE_CONTENT").count()).toBe(2);
    await run.emit(delta("m", " and grows"));
    await expect.poll(() => events.getByText("TEXT_MESSAGE_CONTENT").count()).toBe(3);
    await inspector.screenshot("live-events");
    await inspector.view("Timeline");
    const message = inspector.list("Parts of the run, in their order").getByText("assistant");
    await message.waitFor();

    await inspector.goTo({ page: "instances" });
    const held = inspector.page.getByRole("region", { name: /Threads that a run holds/ });
    expect(await held.getByRole("row", { name: /live-run/ }).textContent()).toContain("running");
    await inspector.screenshot("instances-live");
    await inspector.goTo({ thread: "live" });

    await run.emit(closing("m"), finished(ids));
    await run.finish();
    await run.done;
    const heading = inspector.main().locator(".first-line");
    await heading.getByText("finished").waitFor();
    await inspector.shows("The answer grows and grows");
    expect(await inspector.main().getByText("The answer grows and grows").count()).toBe(1);
    await inspector.view("Runs");
    await inspector.list("Runs, newest first").getByText("finished").waitFor();
    expect(inspector.complaints).toEqual([]);
  });

  it("shows the run once, when it has what is stored before it hears of the end", async () => {
    const dbPath = tempDatabase();
    const server = await RunnerProcess.open({ dbPath });
    const run = server.run("live", "live-run");
    await run.started();
    const ids = { threadId: "live", runId: "live-run" };
    await run.emit(started(ids), opening("m"), delta("m", "The answer"));
    const context = await browser.newContext();
    await context.addInitScript({ content: HELD_BACK });
    await context.route("**/api/messages?*", async (route) => {
      await run.done;
      await expect.poll(events).toBe(5);
      await route.continue();
    });
    const inspector = await InspectorPage.openIn(context, await startInspector(dbPath), {
      thread: "live",
    });
    const events = () => inspector.page.evaluate("window.events");
    await expect.poll(events).toBe(3);
    await run.emit(closing("m"), finished(ids));
    await run.finish();
    await inspector.main().getByText("The answer", { exact: true }).waitFor();
    await inspector.page.evaluate("tell()");
    await inspector.main().locator(".first-line").getByText("finished").waitFor();
    await inspector.main().getByText("The answer", { exact: true }).waitFor();
  });

  it("stops it, after it has asked", async () => {
    const dbPath = tempDatabase();
    const server = await RunnerProcess.open({ dbPath });
    const run = server.run("live", "live-run");
    await run.started();
    await run.emit(opening("m"), delta("m", "half an"));
    const inspector = await InspectorPage.open(browser, await startInspector(dbPath), {
      thread: "live",
    });
    const main = inspector.main();
    await main.getByRole("button", { name: "Stop…" }).click();
    await main.getByRole("button", { name: "Let it run" }).click();
    expect(await run.aborts()).toBe(0);
    await main.getByRole("button", { name: "Stop…" }).click();
    await main.getByRole("button", { name: "Stop the run" }).click();
    await run.done;
    expect(await run.aborts()).toBe(1);
    await main.getByRole("button", { name: "Stop…" }).waitFor({ state: "detached" });
    await inspector.shows("half an");
  });

  it("says that a run was interrupted, when its process was killed", async () => {
    const dbPath = tempDatabase();
    const server = await RunnerProcess.open({ dbPath });
    const run = server.run("live", "live-run");
    run.done.catch(() => undefined);
    await run.started();
    await run.emit(opening("m"), delta("m", "half an answer"));
    await server.flush();
    await server.kill();
    const inspector = await InspectorPage.open(browser, await startInspector(dbPath), {
      thread: "live",
    });
    await inspector.shows("half an answer");
    await inspector.main().locator(".ending").getByText("RUN_INTERRUPTED").waitFor();
    await inspector.screenshot("interrupted");
    await inspector.goTo({ page: "instances" });
    const recovered = inspector.page.getByRole("region", { name: "Recovered threads" });
    await recovered.getByRole("link").waitFor();
    expect(await recovered.textContent()).toContain("live-run");
  });

  it("says so when the inspector itself is gone", async () => {
    const dbPath = tempDatabase();
    await storeThreads(dbPath);
    const started = await startInspector(dbPath);
    const inspector = await InspectorPage.open(browser, started, { thread: "weather" });
    await inspector.shows("rain");
    await started.child.kill();
    await inspector.page.getByText(/What you see may be out of date/).waitFor();
    await inspector.shows("rain");
    await inspector.view("Runs");
    await inspector.shows("The inspector does not answer.");
    await inspector.screenshot("gone");
    expect(await inspector.main().getByRole("alert").textContent()).toContain(
      "durable-agent-runner inspect",
    );
  });
});
