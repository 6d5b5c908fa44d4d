import type { Action, Plan } from "./plan.ts";

/**
 * The shortest form of a plan that still fails: without the actions, the processes and the length of what it
 * does that its failure does not need.
 */
export async function shrink(
  plan: Plan,
  fails: (candidate: Plan) => Promise<boolean>,
): Promise<Plan> {
  let shortest = plan;
  for (let isShorter = true; isShorter; ) {
    isShorter = false;
    for (const candidate of shorterThan(shortest)) {
      if (!(await fails(candidate))) continue;
      shortest = candidate;
      isShorter = true;
      break;
    }
  }
  return shortest;
}

function* shorterThan(plan: Plan): Generator<Plan> {
  const { actions, processes } = plan;
  for (let length = actions.length >> 1; length >= 1; length >>= 1) {
    for (let from = 0; from < actions.length; from += length) {
      yield { ...plan, actions: actions.toSpliced(from, length) };
    }
  }
  const last = processes.length - 1;
  if (last > 0 && actions.every(({ on }) => on < last)) {
    yield { ...plan, processes: processes.slice(0, -1) };
  }
  for (const [at, action] of actions.entries()) {
    for (const simpler of simplerThan(action)) {
      yield { ...plan, actions: actions.with(at, simpler) };
    }
  }
}

function* simplerThan(action: Action): Generator<Action> {
  if (action.kind !== "run") return;
  const { agent } = action;
  if (agent.pieces > 0) yield { ...action, agent: { ...agent, pieces: agent.pieces - 1 } };
  if (agent.isDeaf) yield { ...action, agent: { ...agent, isDeaf: false } };
  if (agent.ending !== "finishes") yield { ...action, agent: { ...agent, ending: "finishes" } };
}
