import { expect, test } from "vitest";
import { FAULTS } from "./faults.ts";
import type { Action, Plan } from "./plan.ts";
import { planSchedule } from "./schedule.ts";
import { shrink } from "./shrink.ts";

const kindsOf = ({ actions }: Plan) => actions.map(({ kind }) => kind);

test("a plan is shrunk to what its failure needs: actions, processes, and what agents do", async () => {
  const { processes, actions } = planSchedule(1, 1, FAULTS);
  const run = actions.find(({ kind }) => kind === "run");
  if (run?.kind !== "run") throw new Error("the plan has no run");
  const kill: Action = { kind: "kill", at: 5, on: 0, isSeen: true, restartAfterMs: 1 };
  const plan: Plan = { processes, actions: [...actions, kill, { ...run, on: 0 }] };
  const needed = async (candidate: Plan) =>
    kindsOf(candidate).includes("kill") && kindsOf(candidate).includes("run");
  const shortest = await shrink(plan, needed);
  expect(kindsOf(shortest).sort()).toEqual(["kill", "run"]);
  const [left] = shortest.actions.filter((action) => action.kind === "run");
  expect(left?.agent).toMatchObject({ pieces: 0, ending: "finishes", isDeaf: false });
});

test("a plan in which everything is needed stays as it is", async () => {
  const plan = planSchedule(1, 2, FAULTS);
  expect(await shrink(plan, async (candidate) => candidate === plan)).toBe(plan);
});
