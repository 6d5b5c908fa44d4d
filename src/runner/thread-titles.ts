import type { Message } from "../events/view/message.ts";
import { describeValue } from "../protocol/describe-value.ts";
import { toRunStoreError } from "../protocol/errors.ts";
import type { Logger } from "../protocol/logger.ts";
import type { RunStore } from "../store/run-store.ts";
import { readStoredView } from "./stored-view.ts";

/** A thread whose first run was stored. */
export interface UntitledThread {
  readonly threadId: string;
  /** The agent of the run. */
  readonly agentId: string | null;
  /** Whose thread it is. Null for a thread of nobody. */
  readonly resourceId: string | null;
  /** The messages that a client of the thread holds, oldest first. */
  readonly messages: readonly Message[];
}

/** Returns a title, or null to leave the default title: the beginning of the first user message. */
export type TitleFor = (thread: UntitledThread) => Promise<string | null> | string | null;

export interface ThreadTitlesOptions {
  readonly store: RunStore;
  readonly titleFor: TitleFor;
  readonly logger: Logger;
}

/**
 * Has titles made for threads, in the background: runs do not wait for them, and a failure is logged. A
 * title that was set meanwhile is kept.
 */
export class ThreadTitles {
  readonly #options: ThreadTitlesOptions;

  constructor(options: ThreadTitlesOptions) {
    this.#options = options;
  }

  /** Called once for a thread, by the runner that has stored its first run. Never rejects. */
  async make(thread: Omit<UntitledThread, "messages">): Promise<void> {
    const { logger } = this.#options;
    const { threadId } = thread;
    try {
      await this.#make(thread);
    } catch (cause) {
      const { code } = toRunStoreError(cause);
      // The thread may have been removed meanwhile.
      const isExpected = code === "RUNNER_CLOSED" || code === "THREAD_NOT_FOUND";
      logger[isExpected ? "debug" : "error"]({ err: cause, threadId }, "a thread got no title");
    }
  }

  async #make(thread: Omit<UntitledThread, "messages">): Promise<void> {
    const { store, titleFor } = this.#options;
    const { threadId, resourceId } = thread;
    const scope = { resourceId };
    const summary = await store.threads?.get(threadId, scope);
    if (summary === undefined || summary === null || summary.isTitled) return;
    const { messages } = await readStoredView(store, threadId, scope);
    const title: unknown = await titleFor({ ...thread, messages });
    if (title === null || title === undefined) return;
    if (typeof title !== "string" || title.trim() === "" || !title.isWellFormed()) {
      throw new TypeError(
        `titleFor: expected a text that is not blank, or null, got ${describeValue(title)}`,
      );
    }
    await store.threads?.update(threadId, { title, onlyIfUntitled: true }, scope);
  }
}
