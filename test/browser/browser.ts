import { join } from "node:path";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";

/** Where Debian's package has it. */
const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

const ARGS = [
  // Chromium's own sandbox does not work for root.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser for the tests of a file. */
export function useBrowser(): {
  newContext(options?: BrowserContextOptions): Promise<BrowserContext>;
} {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
  });
  afterAll(() => browser.close());
  return {
    async newContext(options) {
      const viewport = { width: 1100, height: 700 };
      const context = await browser.newContext({ viewport, ...options });
      // Long, so that only a page that hangs reaches it: a server may have to start meanwhile, on a busy machine.
      context.setDefaultTimeout(60_000);
      onTestFinished(() => context.close());
      return context;
    },
  };
}

/** Where git does not look. */
const SCREENSHOTS = process.env.SCREENSHOTS ?? join(import.meta.dirname, "screenshots");

/** Saves what the page shows. */
export async function screenshot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}
