import { beforeAll, describe, expect, it } from "vitest";
import { newRunner } from "../support/new-runner.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { useBrowser } from "./browser.ts";
import { InspectorPage, startInspector } from "./inspector-page.ts";
import { storeThreads } from "./inspector-threads.ts";
import { fileForAllTests } from "./shared-file.ts";

const browser = useBrowser();
const dbPath = fileForAllTests();
beforeAll(() => storeThreads(dbPath()));

const VIEWS = ["Conversation", "Runs", "Timeline", "Events", "State", "Compare"];

/** The colour of the page's background, as red, green and blue. */
function background(inspector: InspectorPage): Promise<string> {
  return inspector.page.evaluate("getComputedStyle(document.body).backgroundColor");
}

/** How much wider the page is than its window. */
function overflow(inspector: InspectorPage): Promise<number> {
  return inspector.page.evaluate("document.documentElement.scrollWidth - innerWidth");
}

describe("the inspector's page", () => {
  for (const colorScheme of ["light", "dark"] as const) {
    it(`has no serious finding of axe in ${colorScheme}`, async () => {
      const inspector = await InspectorPage.open(
        browser,
        await startInspector(dbPath()),
        { thread: "weather" },
        { colorScheme },
      );
      for (const view of VIEWS) {
        await inspector.view(view);
        await inspector
          .main()
          .getByText(/weather-5|rain/)
          .first()
          .waitFor({ state: "attached" });
        await expect.poll(() => inspector.page.getByText("Loading…").count()).toBe(0);
        expect(await inspector.seriousFindings(), view).toEqual([]);
        await inspector.screenshot(`${view.toLowerCase()}-${colorScheme}`);
      }
      await inspector.goTo({ thread: "weather", view: "events", event: "9" });
      await inspector
        .main()
        .getByRole("region", { name: /^Event / })
        .waitFor();
      expect(await inspector.seriousFindings(), "event").toEqual([]);
      await inspector.goTo({ thread: "failed" });
      await inspector.shows("The model is overloaded");
      expect(await inspector.seriousFindings(), "failed").toEqual([]);
      await inspector.goTo({ page: "instances" });
      await inspector.page.getByText("this inspector", { exact: true }).waitFor();
      expect(await inspector.seriousFindings(), "instances").toEqual([]);
      await inspector.page.keyboard.press("?");
      await inspector.page.getByRole("dialog").waitFor();
      expect(await inspector.seriousFindings(), "help").toEqual([]);
    });
  }

  it("follows the system's colours until others are chosen, and keeps these", async () => {
    const inspector = await InspectorPage.open(
      browser,
      await startInspector(dbPath()),
      {},
      { colorScheme: "dark" },
    );
    await inspector.threads().first().waitFor();
    const dark = await background(inspector);
    await inspector.page.getByLabel("Colours").selectOption("light");
    const light = await background(inspector);
    expect(light).not.toBe(dark);
    await inspector.page.reload();
    await inspector.threads().first().waitFor();
    expect(await background(inspector)).toBe(light);
    await inspector.page.getByLabel("Colours").selectOption("system");
    expect(await background(inspector)).toBe(dark);
  });

  it("fits a window of 360 pixels", async () => {
    const viewport = { width: 360, height: 740 };
    const inspector = await InspectorPage.open(
      browser,
      await startInspector(dbPath()),
      {},
      { viewport },
    );
    await inspector.threads().first().waitFor();
    expect(await overflow(inspector)).toBe(0);
    await inspector.screenshot("narrow-list");
    await inspector.threads().filter({ hasText: "6 runs" }).click();
    await inspector.shows("rain");
    for (const view of VIEWS) {
      await inspector.view(view);
      await expect.poll(() => inspector.page.getByText("Loading…").count()).toBe(0);
      expect(await overflow(inspector), view).toBe(0);
      await inspector.screenshot(`narrow-${view.toLowerCase()}`);
    }
    await inspector.page.getByRole("link", { name: "← Threads" }).click();
    await inspector.threads().first().waitFor();
    await inspector.page.getByRole("link", { name: "Instances" }).click();
    await inspector.page.getByText("this inspector", { exact: true }).waitFor();
    expect(await overflow(inspector)).toBe(0);
    await inspector.screenshot("narrow-instances");
    expect(await inspector.seriousFindings()).toEqual([]);
  });

  it("says what is next where there is nothing", async () => {
    const empty = tempDatabase();
    const runner = newRunner({ dbPath: empty });
    await runner.ready();
    await runner.close();
    const inspector = await InspectorPage.open(browser, await startInspector(empty));
    await inspector.page.getByText("No threads yet").waitFor();
    await inspector.screenshot("empty");
    await inspector.goTo({ thread: "no such thread" });
    await inspector.shows("There is no such thread.");
    expect(await inspector.main().getByRole("alert").textContent()).toContain("THREAD_NOT_FOUND");
    await inspector.screenshot("unknown-thread");
    await inspector.goTo({
      thread: "no such thread",
      view: "events",
      run: "nonsense",
      event: "-1",
    });
    await inspector.shows("There is no such thread.");
    expect(inspector.complaints).toEqual([]);
  });
});
