import { relative } from "node:path";
import type { SerializedError, TestModule } from "vitest/node";

/** What failed in a run of vitest. A part of it is what a JSON file between two processes can hold. */
export interface RunOutcome {
  readonly failed: readonly FailedTest[];
  readonly died: readonly DeadFile[];
  /** Errors outside tests, without those of the dead files. */
  readonly errors: readonly string[];
}

export interface FailedTest {
  readonly file: string;
  /** The name of the test or of the group whose hook failed, or "" if the file could not be loaded. */
  readonly name: string;
  readonly message: string;
}

/** A test file whose process a signal ended. */
export interface DeadFile {
  readonly file: string;
  readonly signal: string;
}

/**
 * Signals that the code of a process causes, be it V8's, a native module's or SQLite's. SIGKILL is none of
 * them: it is how the system ends a process that takes too much memory.
 */
const ENDED = /exited unexpectedly with signal (SIGSEGV|SIGTRAP|SIGABRT) .*running test file (\S+)/;

type Tested = Pick<TestModule, "relativeModuleId" | "errors" | "children">;

export function outcomeOf(
  modules: readonly Tested[],
  unhandled: readonly SerializedError[],
): RunOutcome {
  const died: DeadFile[] = [];
  const errors: string[] = [];
  for (const error of unhandled) {
    const messages = messagesOf(error);
    const [, signal, path] = messages.map((text) => ENDED.exec(text)).find(Boolean) ?? [];
    if (signal !== undefined && path !== undefined)
      died.push({ file: relative(".", path), signal });
    else errors.push(firstLineOf(messages.join(": ")));
  }
  return { failed: modules.flatMap(failedIn), died, errors };
}

function failedIn(module: Tested): FailedTest[] {
  const file = module.relativeModuleId;
  const failure = (name: string, errors: readonly { message: string }[]): FailedTest[] =>
    errors.slice(0, 1).map(({ message }) => ({ file, name, message: firstLineOf(message) }));
  return [
    ...failure("", module.errors()),
    ...[...module.children.allSuites()].flatMap((suite) => failure(suite.fullName, suite.errors())),
    ...[...module.children.allTests("failed")].flatMap((test) =>
      failure(test.fullName, test.result().errors ?? []),
    ),
  ];
}

/** The message of an error, and those of its causes. */
function messagesOf(error: SerializedError): string[] {
  const messages: string[] = [];
  for (let at: unknown = error; typeof at === "object" && at !== null; ) {
    const { message, cause } = at as { message?: unknown; cause?: unknown };
    messages.push(String(message));
    at = cause;
  }
  return messages;
}

const firstLineOf = (message: string): string => message.trim().split("\n", 1)[0] ?? "";
