import { bigintArray, textArray } from "../binary-arrays.ts";
import type { Send } from "../connection.ts";
import type { Statements } from "../statements.ts";
import { toStored, toStoredOrNull } from "../stored-ids.ts";
import { isKnown, type ThreadRow } from "../thread-row.ts";
import { toResourceKey } from "./list-keys.ts";
import type { ThreadTouches, Touch } from "./thread-touches.ts";

/** What a transaction changes in the list of threads. It has locked the rows of these threads. */
export class ListWrites {
  readonly #touched = new Map<string, Touch>();
  /** Touches that were put off before: they are written now. */
  readonly #late = new Map<string, Touch>();
  /** Threads of which no run was stored. */
  readonly #forgotten = new Set<string>();

  /** A run of the thread begins or ends. `agentId` null leaves the agent of the thread as it is. */
  touch(threadId: string, agentId: string | null, at = Date.now()): void {
    const from = this.#touched.get(threadId)?.from ?? at;
    const known = this.#touched.get(threadId)?.agentId ?? null;
    this.#touched.set(threadId, { from, at, agentId: agentId ?? known });
    this.#forgotten.delete(threadId);
  }

  touchLate(threadId: string, touch: Touch): void {
    this.#late.set(threadId, touch);
  }

  /** The only run of the thread was released: nothing of the thread stays. */
  forget(threadId: string): void {
    this.#touched.delete(threadId);
    this.#forgotten.add(threadId);
  }

  /** Sends the statements that write this. */
  send(
    send: Send,
    statements: Statements,
    touches: ThreadTouches,
    threads: ReadonlyMap<string, ThreadRow>,
  ): Promise<unknown>[] {
    const sent: Promise<unknown>[] = [];
    if (this.#forgotten.size > 0) {
      const { forgetListed, forgetMetadata, forgetTitleWords } = statements;
      const ids = [textArray(Array.from(this.#forgotten, toStored))];
      for (const statement of [forgetListed, forgetMetadata, forgetTitleWords]) {
        sent.push(send(statement, ids));
      }
    }
    const written = new Map([...this.#late, ...touches.admit(this.#touched)]);
    const rows = [...written].flatMap(([threadId, touch]) => {
      const thread = threads.get(threadId);
      // A thread that is unknown by now is in no list.
      return isKnown(thread) ? [{ threadId, resourceId: thread.resourceId ?? null, ...touch }] : [];
    });
    if (rows.length > 0) {
      const values = [
        textArray(rows.map(({ threadId }) => toStored(threadId))),
        textArray(rows.map(({ resourceId }) => toResourceKey(resourceId))),
        textArray(rows.map(({ agentId }) => toStoredOrNull(agentId))),
        bigintArray(rows.map(({ from }) => from)),
        bigintArray(rows.map(({ at }) => at)),
      ];
      sent.push(send(statements.touchThreads, values));
    }
    return sent;
  }
}
