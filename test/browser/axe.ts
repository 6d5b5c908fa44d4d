import axe, { type AxeResults } from "axe-core";
import type { Page } from "playwright-core";

/** What axe finds on the page that keeps people from using it, a line each. */
export async function seriousFindings(page: Page): Promise<string[]> {
  // Evaluated from outside, because the policy of a page admits no script of others.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<AxeResults>("axe.run()");
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help} ${nodes.map(({ html }) => html).join(" ")}`);
}
