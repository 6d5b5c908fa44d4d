import { MessageChannel, type MessagePort, type Worker } from "node:worker_threads";
import type * as PiscinaModule from "piscina";
import type { AttachRequest, PortReply, PortRequest } from "../../src/protocol/port-messages.ts";

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

    override run(...[task, options]: Parameters<InstanceType<typeof actual.Piscina>["run"]>) {
      if (!isAttach(task)) return super.run(task, options);
      const port = this.#watch(task.port);
      return super.run({ port }, { ...options, transferList: [port] });
    }

    /** A port for the thread, whose messages are passed on to and from `port`. */
    #watch(port: MessagePort): MessagePort {
      const { port1, port2 } = new MessageChannel();
      const requests = new Map<number, unknown>();
      let isLost = false;
      port.on("message", ([id, request]: PortRequest<unknown>) => {
        requests.set(id, request);
        port1.postMessage([id, request]);
      });
      port1.on("message", ([id, reply]: PortReply) => {
        isLost ||= sabotage.losesAnswerTo?.(requests.get(id)) === true;
        requests.delete(id);
        if (!isLost) port.postMessage([id, reply]);
        else for (const thread of this.threads as Worker[]) void thread.terminate();
      });
      port1.on("close", () => port.close());
      for (const each of [port, port1]) each.unref();
      return port2;
    }
  }
  return { ...actual, Piscina: WatchedPiscina as typeof actual.Piscina };
}

function isAttach(task: unknown): task is AttachRequest<MessagePort> {
  return typeof task === "object" && task !== null && "port" in task;
}

/** The current threads of that kind in this process, of any runner. */
export function threadsOf(kind: "writer" | "reader"): readonly Worker[] {
  return pools
    .filter(({ filename }) => filename.endsWith(`${kind}.ts`))
    .flatMap(({ pool }) => pool.threads as Worker[]);
}
