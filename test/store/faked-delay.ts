/**
 * `setTimeout` of node:timers/promises, by way of the global timers: vitest fakes no others. For
 * `vi.mock("node:timers/promises", () => import("./faked-delay.ts"))`.
 */
function delay(ms: number, value?: unknown, options?: { signal?: AbortSignal }): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms, value);
    options?.signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new Error("aborted"));
    });
  });
}

export { delay as setTimeout };
