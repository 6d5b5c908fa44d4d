import type { Send } from "../connection.ts";
import type { Statements } from "../statements.ts";

/**
 * Executes a statement that finds its rows by their keys, in a transaction of its own. The server would else
 * read small tables whole, and keep that plan while they grow.
 */
export async function byKeys(
  send: Send,
  { begin, bounded, commit }: Statements,
  ...statement: Parameters<Send>
): ReturnType<Send> {
  const [, , result] = await Promise.all([
    send(begin),
    send(bounded),
    send(...statement),
    send(commit),
  ]);
  return result;
}
