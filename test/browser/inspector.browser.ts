import { beforeAll, describe, expect, it } from "vitest";
import { useBrowser } from "./browser.ts";
import { InspectorPage, startInspector } from "./inspector-page.ts";
import { HOSTILE, ODD_ID, storeThreads } from "./inspector-threads.ts";
import { fileForAllTests } from "./shared-file.ts";

const browser = useBrowser();
const dbPath = fileForAllTests();
beforeAll(() => storeThreads(dbPath()));

async function open(place: Readonly<Record<string, string>> = {}): Promise<InspectorPage> {
  return InspectorPage.open(browser, await startInspector(dbPath()), place);
}

describe("the inspector's list of threads", () => {
  it("shows them, newest first, with what they are", async () => {
    const inspector = await open();
    await inspector.threads().first().waitFor();
    await inspector.screenshot("list");
    await expect.poll(() => inspector.threads().count()).toBeGreaterThan(5);
    await inspector.page.getByRole("searchbox", { name: "Search threads" }).fill("weather");
    await expect.poll(() => inspector.threads().count()).toBe(2);
    expect(inspector.place()).toEqual({ search: "weather" });
    expect(await inspector.threads().last().textContent()).toContain("6 runs");
    await inspector.screenshot("search");
  });

  it("filters by status, resource and archived, and says when nothing fits", async () => {
    const inspector = await open();
    await inspector.page.getByLabel("Status").selectOption("error");
    await expect.poll(() => inspector.threads().count()).toBe(1);
    expect(await inspector.threads().textContent()).toContain("Is anybody there?");
    await inspector.page.getByLabel("Archived").selectOption("true");
    await inspector.page.getByText("No thread fits the filters").waitFor();
    await inspector.screenshot("nothing-fits");
    await inspector.page.getByRole("button", { name: "Clear filters" }).first().click();
    await inspector.page.getByLabel("Archived").selectOption("true");
    await expect.poll(() => inspector.threads().allTextContents()).toHaveLength(1);
    expect(await inspector.threads().textContent()).toContain("archived");
    await inspector.page.getByLabel("Archived").selectOption("");
    await inspector.page.getByLabel("Resource").selectOption("ada");
    await expect.poll(() => inspector.threads().count()).toBe(2);
    await inspector.page.getByLabel("Agent").selectOption("concierge");
    await expect.poll(() => inspector.place()).toEqual({ resource: "ada", agent: "concierge" });
  });
});

describe("the inspector's views of a thread", () => {
  it("shows a conversation: markdown, folded tool calls, results and reasoning", async () => {
    const inspector = await open({ thread: "weather" });
    await inspector.shows("rain");
    await inspector.screenshot("conversation");
    const table = inspector.main().getByRole("cell", { name: "Centraal Museum" }).last();
    await table.waitFor();
    const call = inspector.main().locator("details.call", { hasText: "get_forecast" }).last();
    expect(await call.getByText("days:").count()).toBe(0);
    await call.locator("summary").first().click();
    await call.getByText("days:").waitFor();
    const result = inspector.main().locator("details.result").last();
    expect(await result.locator("summary").first().textContent()).toContain("find_museums");
    await inspector.main().locator("details.reasoning summary").last().click();
    await inspector.shows("a place to be if it rains.");
    await inspector.screenshot("conversation-unfolded");
    expect(inspector.complaints).toEqual([]);
  });

  it("lists runs with durations, tokens and sizes, and shows one as a timeline", async () => {
    const inspector = await open({ thread: "weather", view: "runs" });
    const runs = inspector.list("Runs, newest first");
    await runs.getByText("weather-5").waitFor();
    await expect.poll(() => runs.getByText("817 + 120").count()).toBe(1);
    await expect.poll(() => runs.getByText("4.0 s").count()).toBe(6);
    await inspector.screenshot("runs");
    await runs.getByRole("link").nth(1).click();
    const parts = inspector.list("Parts of the run, in their order");
    await parts.getByText("get_forecast").waitFor();
    await inspector.screenshot("timeline");
    expect(inspector.place()).toMatchObject({ view: "timeline", thread: "weather" });
    expect(inspector.place().run).toContain("weather-4");
    const forecast = parts.getByRole("link").filter({ hasText: "get_forecast" });
    expect(await forecast.textContent()).toContain("1.4 s");
    await inspector.main().getByText("Input").click();
    await inspector.main().locator(".run-part").getByText('"And now?"').waitFor();
    await inspector.screenshot("input");
    await inspector.page.keyboard.press("[");
    await expect.poll(() => inspector.place().run).toContain("weather-3");
  });

  it("says what a run waits for", async () => {
    const inspector = await open({ thread: "asking" });
    await inspector.main().locator(".ending").getByText("waits for an answer").waitFor();
    await inspector.main().getByRole("link", { name: "Look at the run" }).click();
    await inspector
      .main()
      .locator(".run-part")
      .getByText(/Book the Centraal Museum/)
      .waitFor();
    await inspector.screenshot("interrupt");
    expect(inspector.place()).toMatchObject({ thread: "asking", view: "timeline" });
  });

  it("says so where events have no timestamps", async () => {
    const inspector = await open({ thread: "small-3", view: "timeline" });
    await inspector.shows(/gave its events no timestamps/);
    await inspector.screenshot("timeline-without-times");
    expect(await inspector.list("Parts of the run, in their order").textContent()).toContain(
      "Yes.",
    );
  });

  it("filters events by type and text, and shows one as JSON", async () => {
    const inspector = await open({ thread: "weather", view: "events" });
    const events = inspector.list("Events");
    await events.getByText("RUN_STARTED").waitFor();
    await inspector.screenshot("events");
    await inspector.page.getByRole("button", { name: /^TOOL_CALL_ARGS/ }).click();
    await expect.poll(() => events.getByRole("link").count()).toBe(2);
    await inspector.page.getByRole("searchbox", { name: "Filter events" }).fill("DAYS");
    await expect.poll(() => events.getByRole("link").count()).toBe(1);
    await events.getByRole("link").click();
    const detail = inspector.main().getByRole("region", { name: /^Event / });
    await detail.getByText("toolCallId:").waitFor();
    await inspector.screenshot("event");
    expect(inspector.place()).toMatchObject({ types: "TOOL_CALL_ARGS", text: "DAYS" });
    await inspector.page.getByRole("searchbox", { name: "Filter events" }).fill("no such text");
    await inspector.shows("No event passes the filter");
  });

  it("shows the state, and how a run changed it", async () => {
    const inspector = await open({ thread: "weather", view: "state" });
    await inspector.shows("What the run changed");
    const change = inspector.main().getByRole("row", { name: /forecast\.temperature/ });
    expect(await change.textContent()).toMatch(/15.*16/);
    await inspector.screenshot("state");
    // The snapshot and the delta of the run are stored as one snapshot.
    expect(await inspector.main().getByRole("listitem").allTextContents()).toHaveLength(1);
  });

  it("shows what differs between two runs", async () => {
    const inspector = await open({ thread: "weather", view: "compare" });
    await inspector.page.getByLabel("Run A", { exact: true }).selectOption({ index: 5 });
    await inspector.shows("What they said");
    const tokens = inspector.main().getByRole("row", { name: /^Tokens/ });
    await expect.poll(() => tokens.textContent()).toMatch(/812 \+ 120.*817 \+ 120/);
    await inspector.main().getByText("Word by word").last().click();
    await expect.poll(() => inspector.main().locator("del").allTextContents()).toContain("11");
    expect(await inspector.main().locator("ins").allTextContents()).toContain("16");
    await inspector.screenshot("compare");
  });

  it("shows where a thread was forked from", async () => {
    const inspector = await open({ thread: "weather-fork" });
    await inspector.main().getByText("Forked from").waitFor();
    await inspector.main().locator(".facts").getByRole("link").click();
    await expect.poll(() => inspector.place().thread).toBe("weather");
  });
});

describe("the inspector's page", () => {
  it("keeps all choices in its URL", async () => {
    const inspector = await open({ thread: "weather", view: "events", types: "STATE_SNAPSHOT" });
    await inspector.list("Events").getByRole("link").click();
    await inspector
      .main()
      .getByRole("region", { name: /^Event / })
      .getByText("snapshot:")
      .waitFor();
    const place = inspector.place();
    await inspector.page.reload();
    await inspector
      .main()
      .getByRole("region", { name: /^Event / })
      .getByText("snapshot:")
      .waitFor();
    expect(inspector.place()).toEqual(place);
    expect(await inspector.list("Events").getByRole("link").count()).toBe(1);
  });

  it("is used by the keyboard alone", async () => {
    const inspector = await open();
    const { keyboard } = inspector.page;
    await inspector.threads().first().waitFor();
    await keyboard.press("?");
    await inspector.page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await inspector.screenshot("help");
    await keyboard.press("Escape");
    await inspector.page.getByRole("dialog").waitFor({ state: "detached" });
    await keyboard.press("/");
    await keyboard.type("weather");
    await expect.poll(() => inspector.threads().count()).toBe(2);
    await keyboard.press("Escape");
    await expect.poll(() => inspector.place()).toEqual({});
    await expect.poll(() => inspector.threads().count()).toBeGreaterThan(5);
    await keyboard.press("j");
    const [first, second] = await inspector
      .threads()
      .evaluateAll((rows) => rows.map((row) => row.getAttribute("href")));
    expect(await inspector.focused()).toBe(first);
    await keyboard.press("j");
    expect(await inspector.focused()).toBe(second);
    await keyboard.press("k");
    await keyboard.press("j");
    await keyboard.press("Enter");
    await inspector.main().getByRole("navigation", { name: "Views of the thread" }).waitFor();
    expect(inspector.place().thread).toBeDefined();
    await keyboard.press("4");
    await expect.poll(() => inspector.place().view).toBe("events");
    await inspector.list("Events").getByText("RUN_STARTED").waitFor();
    await keyboard.press("m");
    await keyboard.press("j");
    await keyboard.press("Enter");
    await expect.poll(() => inspector.place().event).toBe("1");
    // The URL has changed before the event is shown. From then on, the keys open events.
    await inspector.page.getByRole("region", { name: "Event 1", exact: true }).waitFor();
    await keyboard.press("j");
    await expect.poll(() => inspector.place().event).toBe("2");
    await keyboard.press("Escape");
    await expect.poll(() => inspector.place().event).toBeUndefined();
    await keyboard.press("i");
    await inspector.page.getByRole("heading", { name: "Recovered threads" }).waitFor();
    await inspector.screenshot("instances");
    await keyboard.press("Escape");
    await inspector.list("Events").waitFor();
  });

  it("shows texts, ids and titles of users as text, and runs nothing of them", async () => {
    const inspector = await open({ thread: ODD_ID });
    await inspector.shows("window.hacked=1");
    await inspector.screenshot("hostile");
    await inspector.main().locator("details.call summary").click();
    await inspector
      .main()
      .getByRole("link", { name: /a picture/ })
      .waitFor();
    // The address of a script is no link.
    expect(await inspector.main().getByText("a link").getAttribute("href")).toBeNull();
    for (const view of ["Runs", "Timeline", "Events", "State"]) {
      await inspector.view(view);
      await inspector
        .main()
        .getByText(/odd\/\.\.\/run/)
        .first()
        .waitFor({ state: "attached" });
    }
    await inspector.page.getByRole("searchbox", { name: "Search threads" }).fill("script");
    await expect
      .poll(() => inspector.threads().first().textContent())
      .toContain(HOSTILE.slice(0, 20));
    const hacked = await inspector.page.evaluate(() => "hacked" in globalThis);
    expect([hacked, inspector.foreign, inspector.complaints]).toEqual([false, [], []]);
    expect(await inspector.page.locator("img, b, script:not([src])").count()).toBe(0);
  });
});
