import { describe, expect, it } from "vitest";
import { tempDatabase } from "../support/temp-file.ts";
import { useBrowser } from "./browser.ts";
import { InspectorPage, startInspector } from "./inspector-page.ts";
import { storeLongRun, storeManyThreads } from "./inspector-threads.ts";

const browser = useBrowser();

/** Elements of the document, whatever it shows. */
const MAX_ELEMENTS = 1500;

describe("the inspector's page with much to show", () => {
  it("scrolls through 10 000 threads, of which few are in the document", async () => {
    const dbPath = tempDatabase();
    await storeManyThreads(dbPath, 10_000);
    // After so many runs at once, the order of the last changes is still being corrected for a while.
    const inspector = await InspectorPage.open(browser, await startInspector(dbPath), {
      order: "created",
    });
    await inspector.threads().first().waitFor();
    const scroller = inspector.page.locator('[data-list="threads"]');
    const sizes: number[] = [];
    const last = inspector.list("Threads").getByRole("listitem").last();
    await expect
      .poll(
        async () => {
          await scroller.evaluate((list) => list.scrollTo(0, list.scrollHeight));
          sizes.push(await inspector.elements());
          return last.getAttribute("aria-setsize");
        },
        { interval: 50 },
      )
      .toBe("10000");
    await inspector.screenshot("many-threads");
    expect(Math.max(...sizes)).toBeLessThan(MAX_ELEMENTS);

    await inspector.page.getByRole("searchbox", { name: "Search threads" }).fill("Topic 77");
    await expect.poll(() => inspector.threads().count()).toBeGreaterThan(0);
    await expect.poll(() => inspector.threads().first().textContent()).toContain("Topic 77");
  });

  it("scrolls through a run of 36 000 events, loaded where they are shown", async () => {
    const dbPath = tempDatabase();
    await storeLongRun(dbPath, "long");
    const inspector = await InspectorPage.open(browser, await startInspector(dbPath), {
      thread: "long",
      view: "events",
    });
    const asked: string[] = [];
    inspector.page.on("request", (request) => {
      if (request.url().includes("run/events")) asked.push(request.url());
    });
    const events = inspector.list("Events");
    await events.getByText("RUN_STARTED").waitFor();
    const scroller = inspector.page.locator('[data-list="main"]');
    await scroller.evaluate((list) => list.scrollTo(0, list.scrollHeight));
    await events.getByText("RUN_FINISHED").waitFor();
    expect(await inspector.elements()).toBeLessThan(MAX_ELEMENTS);
    // The pages in between were not asked for.
    expect(asked.length).toBeLessThan(10);
    await inspector.screenshot("long-run");

    await inspector.page.getByRole("searchbox", { name: "Filter events" }).fill("word 11999");
    await expect.poll(() => events.getByRole("link").count()).toBe(1);
    await inspector.goTo({ thread: "long", view: "events", event: "20000" });
    await events.getByText("20000", { exact: true }).waitFor();

    await inspector.view("Conversation");
    await inspector.shows("word 11999");
    await scroller.evaluate((list) => list.scrollTo(0, 0));
    await inspector.shows("word 3");
    await inspector.view("Timeline");
    await inspector.list("Parts of the run, in their order").getByText("word 1").first().waitFor();
    expect(await inspector.elements()).toBeLessThan(MAX_ELEMENTS);
    expect(inspector.complaints).toEqual([]);
  });
});
