// `node unclosed.ts SCENARIO DB_PATH`: uses a runner, never closes it, never calls process.exit.
// It prints what it saw. Its parent checks that it ends by itself.
import type { SqliteAgentRunner } from "../../../src/index.ts";
import { newRunner } from "../../support/new-runner.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../../support/scripted-agent.ts";

const [scenario = "", dbPath = ""] = process.argv.slice(2);
const input = inputOf("t", "r");

const emitting = (events: readonly ScriptEvent[], ends: boolean) =>
  scriptedAgent(async function* () {
    yield* events;
    // A promise alone keeps no process alive.
    if (!ends) await new Promise<never>(() => undefined);
  });

const scenarios: Readonly<Record<string, (runner: SqliteAgentRunner) => void>> = {
  unused: () => undefined,
  idle(runner) {
    runner.run({ threadId: "t", agent: answeringAgent(), input }).subscribe({
      complete: () => {
        runner.connect({ threadId: "t" }).subscribe({ complete: () => console.log("idle") });
      },
    });
  },
  "unwritten run"(runner) {
    // There is no subscriber, and only the runner is left to keep the process alive.
    const agent = emitting([started(input), finished(input)], true);
    runner.run({ threadId: "t", agent, input });
  },
  "unwritten events"(runner) {
    const events = [started(input), { type: "CUSTOM", name: "n", value: "the last of them" }];
    runner.run({ threadId: "t", agent: emitting(events, false), input });
  },
};

scenarios[scenario]?.(newRunner({ dbPath, lingerMs: 200 }));
