import type { Locator, Page, Request } from "playwright-core";
import { expect } from "vitest";

/** The test page, as a user sees it. */
export class ThreadsPage {
  readonly page: Page;
  /** Every request for threads and what it was answered, as `GET /threads 200`. */
  readonly requests: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on("response", (response) => {
      const call = threadCall(response.request());
      if (call !== null) this.requests.push(`${call} ${response.status()}`);
    });
  }

  /** Opens a thread in the chat. */
  async open(threadId: string): Promise<void> {
    await this.page.getByLabel("id", { exact: true }).fill(threadId);
    await this.page.getByRole("button", { name: "Open", exact: true }).click();
  }

  /** Sends a message in the open chat. */
  async send(message: string): Promise<void> {
    const box = this.page.getByRole("main").getByRole("textbox");
    await box.fill(message);
    await box.press("Enter");
  }

  /** Sends a message in the open chat, and waits for its answer, and until the list has the run. */
  async say(message: string): Promise<void> {
    const answered = this.page.waitForResponse((response) => isRun(response.request()));
    await this.send(message);
    // The stream ends once the run is stored, a little after the last text of the answer.
    await (await answered).finished();
    await this.shows(`You said: ${message}`);
  }

  /** Waits until the open chat shows a text. */
  async shows(text: string): Promise<void> {
    await this.page.getByRole("main").getByText(text).first().waitFor();
  }

  /** What the list shows, once it is `expected`. */
  async lists(expected: readonly string[]): Promise<void> {
    await expect.poll(() => this.page.locator("aside .name").allTextContents()).toEqual(expected);
  }

  async refresh(): Promise<void> {
    await this.button("Refresh").click();
  }

  button(name: string): Locator {
    return this.page.getByRole("complementary").getByRole("button", { name, exact: true });
  }

  /** Presses a button of a thread in the list, and waits for the answer of the server. */
  async press(threadId: string, name: string): Promise<void> {
    // The list shows a change before the server has answered, and may be reading itself again.
    const answered = this.page.waitForResponse((response) => {
      const call = threadCall(response.request());
      return call !== null && !call.startsWith("GET ");
    });
    await this.page
      .locator(`[data-thread="${threadId}"]`)
      .getByRole("button", { name, exact: true })
      .click();
    await answered;
  }

  /** What the page says went wrong. */
  async alert(): Promise<string> {
    return (await this.page.getByRole("alert").first().textContent()) ?? "";
  }
}

/** Whether a request starts a run: by its path, or as its envelope says. */
function isRun(request: Request): boolean {
  if (request.method() !== "POST") return false;
  const { pathname } = new URL(request.url());
  return pathname.endsWith("/run") || /"method":"agent\/run"/.test(request.postData() ?? "");
}

/** Method and path of a request for threads: its own, or those that its envelope names. */
function threadCall(request: Request): string | null {
  const { pathname } = new URL(request.url());
  const [, path] = /^\/api\/copilotkit(\/threads.*)$/.exec(pathname) ?? [];
  if (path !== undefined) return `${request.method()} ${path}`;
  if (pathname !== "/api/copilotkit") return null;
  const { method, params } = JSON.parse(request.postData() ?? "{}") as {
    readonly method?: string;
    readonly params?: { readonly path: string; readonly httpMethod: string };
  };
  if (method !== "resource/request" || params === undefined) return null;
  return `${params.httpMethod} ${params.path.split("?")[0]}`;
}
