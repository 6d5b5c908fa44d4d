import type { BrowserContext, Locator, Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { startServer } from "../examples/server-process.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** The end of each whole answer of the agent. */
export const END = "I am a demo agent without a model";

/** `npm start`. Returns where its page is. */
export async function startPage(env: Record<string, string> = {}): Promise<string> {
  const { output } = await startServer(
    { DB_PATH: tempDatabase(), ...env },
    onTestFinished,
    "start.ts",
  );
  return /^Chat in your browser at (\S+)$/m.exec(output())?.[1] ?? "";
}

/** The chat page, as a visitor sees it. */
export class FirstPage {
  readonly page: Page;
  /** What the page asked of other servers, and its errors but those of a server that is gone. */
  readonly complaints: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on("pageerror", ({ message }) => this.complaints.push(message));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.hostname !== "127.0.0.1" && url.protocol !== "data:")
        this.complaints.push(request.url());
    });
    page.on("console", (message) => {
      const isNetwork = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !isNetwork) this.complaints.push(message.text());
    });
  }

  static async open(context: BrowserContext, url: string): Promise<FirstPage> {
    const opened = new FirstPage(await context.newPage());
    await opened.page.goto(url);
    await opened.button("Send").waitFor();
    return opened;
  }

  button(name: string): Locator {
    return this.page.getByRole("button", { name, exact: true });
  }

  /** One of the three buttons below the conversation. */
  breakIt(name: string): Locator {
    return this.page.getByRole("region", { name: "Break it" }).getByRole("button", { name });
  }

  async send(text: string): Promise<void> {
    await this.page.getByLabel("Message", { exact: true }).fill(text);
    await this.button("Send").click();
  }

  /** Sends a message, and waits for the end of its answer. */
  async say(text: string): Promise<void> {
    const before = await this.page.getByText(END).count();
    await this.send(text);
    await this.ended(before + 1);
  }

  /** Waits for so many whole answers, and the end of the run. */
  async ended(answers: number): Promise<void> {
    await expect.poll(() => this.page.getByText(END).count()).toBe(answers);
    await this.button("Send").waitFor();
  }

  /** What the agent has said, by answer. */
  answers(): Promise<string[]> {
    return this.page.getByRole("article", { name: "Agent" }).allInnerTexts();
  }

  questions(): Promise<string[]> {
    return this.page.getByRole("article", { name: "You" }).allInnerTexts();
  }

  /** What the list shows, once it is `expected`. */
  async lists(expected: readonly string[]): Promise<void> {
    await expect
      .poll(() => this.page.locator(".threads .title .name").allTextContents())
      .toEqual(expected);
  }

  /** The number of the process that serves the page. */
  async pid(): Promise<string> {
    const line = this.page.getByText(/^Process \d+, port \d+$/);
    return /\d+/.exec((await line.textContent()) ?? "")?.[0] ?? "";
  }
}
