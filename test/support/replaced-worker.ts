import type * as PiscinaModule from "piscina";

/** The file that pools of this process start as their worker, whatever they name. */
export const replacedWorker = { filename: "" };

/**
 * Piscina with another worker, because a pool names its own by URL. For
 * `vi.mock("piscina", async (original) => replaceWorker(await original()))`.
 */
export function replaceWorker(actual: typeof PiscinaModule): typeof PiscinaModule {
  class PiscinaOfFixtures extends actual.Piscina {
    constructor(options: ConstructorParameters<typeof actual.Piscina>[0]) {
      super({ ...options, filename: replacedWorker.filename });
    }
  }
  return { ...actual, Piscina: PiscinaOfFixtures as typeof actual.Piscina };
}
