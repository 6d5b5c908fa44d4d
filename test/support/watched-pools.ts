import type { Worker } from "node:worker_threads";
import type * as PiscinaModule from "piscina";

/** What a test can do to the pools. */
export const sabotage: {
  /** True for a request whose answer should be lost, together with its thread. */
  losesAnswerTo: ((request: unknown) => boolean) | null;
} = { losesAnswerTo: null };

const pools: { readonly filename: string; readonly pool: PiscinaModule.Piscina }[] = [];

/**
 * Piscina with access to its pools, because a runner does not expose its threads. For
 * `vi.mock("piscina", async (original) => watchPools(await original()))`.
 */
export function watchPools(actual: typeof PiscinaModule): typeof PiscinaModule {
  class WatchedPiscina extends actual.Piscina {
    constructor(options: ConstructorParameters<typeof actual.Piscina>[0]) {
      super(options);
      pools.push({ filename: String(options?.filename), pool: this });
    }

    override async run(...args: Parameters<InstanceType<typeof actual.Piscina>["run"]>) {
      const answer: unknown = await super.run(...args);
      if (sabotage.losesAnswerTo?.(args[0]) !== true) return answer;
      await Promise.all(this.threads.map((thread) => thread.terminate()));
      throw new Error("the thread ended before its answer arrived");
    }
  }
  return { ...actual, Piscina: WatchedPiscina as typeof actual.Piscina };
}

/** The current threads of that kind in this process, of any runner. */
export function threadsOf(kind: "writer" | "reader"): readonly Worker[] {
  return pools
    .filter(({ filename }) => filename.endsWith(`${kind}.ts`))
    .flatMap(({ pool }) => pool.threads as Worker[]);
}
