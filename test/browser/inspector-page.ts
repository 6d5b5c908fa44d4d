import type { BrowserContext, BrowserContextOptions, Locator, Page } from "playwright-core";
import { type Child, nextLine } from "../support/child-process.ts";
import { startCli } from "../support/cli.ts";
import { seriousFindings } from "./axe.ts";
import { screenshot, type useBrowser } from "./browser.ts";

export interface Inspector {
  /** With its token. */
  readonly url: string;
  readonly child: Child;
}

/** `durable-agent-runner inspect`, as a process that does not outlive its test. */
export async function startInspector(dbPath: string): Promise<Inspector> {
  const child = startCli(["inspect", "--db", dbPath]);
  for (;;) {
    const [url] = /http:\/\/\S+/.exec(await nextLine(child)) ?? [];
    if (url !== undefined) return { url, child };
  }
}

/** The inspector's page, as its reader sees it. */
export class InspectorPage {
  readonly page: Page;
  readonly #url: string;
  /** What the page could not do: uncaught errors, and what its policy forbade. */
  readonly complaints: string[] = [];
  /** Origins other than the inspector's that the page asked for something. */
  readonly foreign: string[] = [];

  private constructor(page: Page, url: string) {
    this.page = page;
    this.#url = url;
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      if (/Content Security Policy|Warning:/i.test(message.text())) {
        this.complaints.push(message.text());
      }
    });
    page.on("request", (request) => {
      const { origin } = new URL(request.url());
      if (origin !== new URL(url).origin && origin !== "null") this.foreign.push(origin);
    });
  }

  /** Opens the page at a place, such as `{ thread: "t", view: "events" }`. */
  static async open(
    browser: ReturnType<typeof useBrowser>,
    inspector: Pick<Inspector, "url">,
    place: Readonly<Record<string, string>> = {},
    options: BrowserContextOptions = {},
  ): Promise<InspectorPage> {
    return InspectorPage.openIn(await browser.newContext(options), inspector, place);
  }

  static async openIn(
    context: BrowserContext,
    { url }: Pick<Inspector, "url">,
    place: Readonly<Record<string, string>>,
  ): Promise<InspectorPage> {
    const opened = new InspectorPage(await context.newPage(), url);
    await opened.goTo(place);
    return opened;
  }

  async goTo(place: Readonly<Record<string, string>>): Promise<void> {
    await this.page.goto(`${this.#url}#${new URLSearchParams(place)}`);
  }

  /** What the part of the URL behind "#" says. */
  place(): Record<string, string> {
    return Object.fromEntries(new URLSearchParams(new URL(this.page.url()).hash.slice(1)));
  }

  list(name: string): Locator {
    return this.page.getByRole("list", { name });
  }

  /** The rows of the list of threads that are in the document. */
  threads(): Locator {
    return this.page.getByRole("complementary").locator("a.thread-row");
  }

  main(): Locator {
    return this.page.getByRole("main");
  }

  async shows(text: string | RegExp): Promise<void> {
    await this.main().getByText(text).first().waitFor();
  }

  /** Chooses a view of the thread. */
  async view(name: string): Promise<void> {
    await this.page
      .getByRole("navigation", { name: "Views of the thread" })
      .getByRole("link", { name, exact: true })
      .click();
  }

  /** Where the link leads that has the focus. Its text may say how long ago something was. */
  focused(): Promise<string> {
    return this.page.evaluate("document.activeElement?.getAttribute('href')");
  }

  /** How many elements the document has. */
  elements(): Promise<number> {
    return this.page.evaluate("document.querySelectorAll('*').length");
  }

  async screenshot(name: string): Promise<void> {
    await screenshot(this.page, name);
  }

  /** What axe finds that keeps people from using the page, a line each. */
  seriousFindings(): Promise<string[]> {
    return seriousFindings(this.page);
  }
}
