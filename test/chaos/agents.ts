import { setTimeout as pause } from "node:timers/promises";
import type { EventLike } from "../../src/events/event.ts";
import type { Random } from "../support/random.ts";

/** What a run notes about itself in its first and last event. */
export interface RunIds {
  readonly threadId: string;
  readonly runId: string;
  /** Distinguishes the run from other runs of the same id, where ids are used again. */
  readonly runName?: string;
}

/** The name of a run in logs and reports. Each run has a name of its own. */
export function nameOf({ runName, runId }: Pick<RunIds, "runId" | "runName">): string {
  return runName ?? runId;
}

/**
 * The plan of a run. Its ids and texts contain the run's name, so that no two runs emit the same
 * events.
 */
export interface Plan {
  readonly shape: Shape;
  readonly steps: readonly Step[];
  /** How the agent ends when it was not told to stop. */
  readonly ending: "well" | "throws" | "says-error" | "just-ends";
  /** Milliseconds after which the client stops the run. Null if it does not. */
  readonly stopAfterMs: number | null;
  /** Whether the agent ignores an abort. */
  readonly deaf: boolean;
}

/** An event to emit, or milliseconds to wait. */
export type Step = EventLike | number;

const SHAPES = [
  "short",
  "short",
  "talk",
  "talk",
  "long-talk",
  "tools",
  "reasoning",
  "state",
  "everything",
  "bulky",
  "throws",
  "says-error",
  "just-ends",
  "stopped",
  "deaf",
  "silent",
] as const;

export type Shape = (typeof SHAPES)[number] | "late" | "retry" | "again";

/** The message of an agent that emits its own RUN_ERROR. */
export const OWN_ERROR = "AGENT_FAILED";

export function planRun(run: RunIds, random: Random, mix: "usual" | "many-silent"): Plan {
  const silent = mix === "many-silent" && random.chance(0.3);
  const shape: Shape = silent ? "silent" : random.pick(SHAPES);
  const plan = { shape, ending: "well", stopAfterMs: null, deaf: false } as const;
  const say = new Sayer(nameOf(run), random);
  const start: Step = { type: "RUN_STARTED", ...run };
  const steps: Step[] = [start];
  switch (shape) {
    case "short":
      return { ...plan, steps: [start, ...say.text(3, 0)] };
    case "talk":
      return { ...plan, steps: [start, ...say.text(random.integer(10, 40), 2)] };
    case "long-talk":
      return { ...plan, steps: [start, ...say.text(random.integer(80, 160), 4)] };
    case "bulky":
      return { ...plan, steps: [start, ...say.text(random.integer(5, 20), 3, 5000)] };
    case "tools":
      steps.push(...say.text(5, 2), ...say.tool(), ...say.tool(), ...say.text(8, 2));
      return { ...plan, steps };
    case "reasoning":
      steps.push(...say.reasoning(), ...say.text(10, 2));
      return { ...plan, steps };
    case "state":
      steps.push(...say.state(), ...say.text(5, 2), ...say.state());
      return { ...plan, steps };
    case "everything":
      steps.push(...say.inStep("first", [...say.reasoning(), ...say.tool()]), ...say.state());
      steps.push(...say.inStep("second", [...say.text(20, 3), ...say.state(), ...say.tool()]));
      return { ...plan, steps };
    case "throws":
      return {
        ...plan,
        steps: cut([start, ...say.tool(), ...say.text(20, 2)], random),
        ending: "throws",
      };
    case "says-error":
      return { ...plan, steps: [start, ...say.text(8, 2)], ending: "says-error" };
    case "just-ends":
      return {
        ...plan,
        steps: cut([start, ...say.reasoning(), ...say.tool()], random),
        ending: "just-ends",
      };
    case "stopped":
    case "deaf": {
      const stopAfterMs = random.integer(5, 120);
      return { ...plan, steps: [start, ...say.text(80, 3)], stopAfterMs, deaf: shape === "deaf" };
    }
    case "silent":
      return { ...plan, steps: [random.integer(0, silent ? 1500 : 100)], ending: "throws" };
  }
}

/** A run that is silent for long, and then emits all events at once. */
export function planLate(run: RunIds, random: Random): Plan {
  const say = new Sayer(run.runId, random);
  const start = { type: "RUN_STARTED", ...run };
  const steps = [random.integer(800, 2000), start, ...say.text(3, 0)];
  return { shape: "late", steps, ending: "well", stopAfterMs: null, deaf: false };
}

/** A run among several runs of the same id, some of them at the same time. */
export function planAgain(run: RunIds, random: Random): Plan {
  const words = random.pick([3, 10, 40]);
  const steps = [{ type: "RUN_STARTED", ...run }, ...new Sayer(nameOf(run), random).text(words, 4)];
  return { shape: "again", steps, ending: "well", stopAfterMs: null, deaf: random.chance(0.2) };
}

/** A run that is over at once. */
export function planShort(run: RunIds, random: Random): Plan {
  const steps = [{ type: "RUN_STARTED", ...run }, ...new Sayer(run.runId, random).text(3, 0)];
  return { shape: "short", steps, ending: "well", stopAfterMs: null, deaf: false };
}

/** A run with the id of an earlier run. `by` distinguishes the two. */
export function planRetry(run: RunIds, by: string, random: Random): Plan {
  const say = new Sayer(`${run.runId}-${by}`, random);
  const steps = [{ type: "RUN_STARTED", ...run }, ...say.text(60, 40)];
  return { shape: "retry", steps, ending: "well", stopAfterMs: null, deaf: false };
}

/** The first part of a run, RUN_STARTED at least. */
function cut(steps: readonly Step[], random: Random): Step[] {
  return steps.slice(0, random.integer(1, steps.length - 1));
}

class Sayer {
  readonly #run: string;
  readonly #random: Random;
  #parts = 0;

  constructor(run: string, random: Random) {
    this.#run = run;
    this.#random = random;
  }

  /** A message of `words` deltas, `ms` apart. */
  text(words: number, ms: number, padding = 0): Step[] {
    const messageId = this.#id("text");
    const steps: Step[] = [{ type: "TEXT_MESSAGE_START", messageId, role: "assistant" }];
    for (let at = 0; at < words; at++) {
      const delta = `${messageId}:${at} ${"x".repeat(padding)}`;
      steps.push({ type: "TEXT_MESSAGE_CONTENT", messageId, delta }, ...this.#wait(ms));
    }
    steps.push({ type: "TEXT_MESSAGE_END", messageId });
    return steps;
  }

  tool(): Step[] {
    const toolCallId = this.#id("call");
    const steps: Step[] = [{ type: "TOOL_CALL_START", toolCallId, toolCallName: "search" }];
    for (const delta of ['{"for":', `"${toolCallId}"`, ',"within":', '"all"', "}"]) {
      steps.push({ type: "TOOL_CALL_ARGS", toolCallId, delta }, ...this.#wait(2));
    }
    steps.push({ type: "TOOL_CALL_END", toolCallId }, ...this.#wait(5));
    const content = `found by ${toolCallId}`;
    const messageId = this.#id("result");
    steps.push({ type: "TOOL_CALL_RESULT", messageId, toolCallId, content, role: "tool" });
    return steps;
  }

  reasoning(): Step[] {
    const messageId = this.#id("thought");
    const steps: Step[] = [
      { type: "REASONING_START", messageId },
      { type: "REASONING_MESSAGE_START", messageId, role: "reasoning" },
    ];
    for (let at = 0; at < 10; at++) {
      const delta = `${messageId}:${at} `;
      steps.push({ type: "REASONING_MESSAGE_CONTENT", messageId, delta }, ...this.#wait(2));
    }
    steps.push({ type: "REASONING_MESSAGE_END", messageId }, { type: "REASONING_END", messageId });
    return steps;
  }

  state(): Step[] {
    const key = this.#id("state");
    const steps: Step[] = [];
    if (this.#random.chance(0.5)) {
      // So long that it is not stored in its run's row.
      const snapshot = { notes: "what each run knows ".repeat(100), [key]: 0 };
      steps.push({ type: "STATE_SNAPSHOT", snapshot });
    } else {
      steps.push({ type: "STATE_DELTA", delta: [{ op: "add", path: `/${key}`, value: 0 }] });
    }
    for (let value = 1; value <= 5; value++) {
      const delta = [{ op: "replace", path: `/${key}`, value }];
      steps.push({ type: "STATE_DELTA", delta }, ...this.#wait(3));
    }
    return steps;
  }

  inStep(stepName: string, steps: readonly Step[]): Step[] {
    return [{ type: "STEP_STARTED", stepName }, ...steps, { type: "STEP_FINISHED", stepName }];
  }

  #id(kind: string): string {
    return `${this.#run}-${kind}${this.#parts++}`;
  }

  #wait(ms: number): number[] {
    return ms === 0 ? [] : [this.#random.integer(0, ms)];
  }
}

/** Emits the events of `plan`, until it is aborted. */
export async function play(
  plan: Plan,
  run: RunIds,
  aborted: AbortSignal,
  emit: (event: EventLike) => void,
): Promise<void> {
  for (const step of plan.steps) {
    if (aborted.aborted && !plan.deaf) return;
    if (typeof step === "number") await pause(step);
    else emit(step);
  }
  if (plan.ending === "throws") throw new Error("the agent threw this");
  if (plan.ending === "says-error")
    emit({ type: "RUN_ERROR", message: "it failed", code: OWN_ERROR });
  if (plan.ending === "well") emit({ type: "RUN_FINISHED", ...run });
}
