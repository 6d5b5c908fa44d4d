import { onTestFinished } from "vitest";

/** The uncaught exceptions and unhandled rejections of the test. */
export function uncaught(): unknown[] {
  const errors: unknown[] = [];
  const listen = (error: unknown) => void errors.push(error);
  for (const name of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(name, listen);
    onTestFinished(() => void process.off(name, listen));
  }
  return errors;
}
