import type { ImportPart, MovedCursor, MovedPage } from "../protocol/moved-threads.ts";
import type { Scope } from "../protocol/scope.ts";

export type {
  ImportPart,
  MovedCursor,
  MovedPage,
  MovedPart,
  MovedRun,
  MovedRunEnd,
  MovedRunHead,
  MovedThread,
} from "../protocol/moved-threads.ts";

/**
 * The part of a store that gives threads to other stores and takes threads of others, without loss.
 *
 * A thread that is imported is unknown until its last piece is stored, and no run gets it: a claim of it is
 * refused with `THREAD_ALREADY_RUNNING`. An import that ends early leaves nothing. The one whose process died
 * is removed by the next store on the data.
 */
export interface ThreadTransfer {
  /**
   * A page of a thread with all that other stores need of it. `cursor` null begins. Null for a thread that is
   * unknown, also if it was removed since the first page. The first page fixes which runs there are.
   */
  read(threadId: string, cursor: MovedCursor | null, scope: Scope): Promise<MovedPage | null>;

  /**
   * Stores a piece of a thread. The runs come in the order in which they were finished, and keep it. They
   * keep their epochs too, unless these do not ascend. What the runs know is known afterwards: their
   * messages, and the epochs that no later run may get.
   *
   * With the first piece, throws `THREAD_EXISTS` if the thread is known here, held by a run or being imported,
   * and has changed nothing. After any other failure, the import is over. `IMPORT_LOST` says that it was over
   * before, because the writer died or another store took this one for dead.
   */
  write(part: ImportPart): Promise<void>;

  /** Ends an import early. Resolves when the thread may be imported again. */
  abandon(threadId: string, importId: string): Promise<void>;

  /** Resolves when every thread whose last piece was written is durable. */
  flush(): Promise<void>;
}
