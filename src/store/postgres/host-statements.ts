import type { Statement } from "./statement.ts";

/** The statements about hosts. Like `statementsOf`. */
export function hostStatementsOf(s: string) {
  const named = (name: string, text: string): Statement => ({ name: `dar_${name}`, text });
  return {
    beat: named(
      "beat",
      `INSERT INTO ${s}.hosts (instance_id, lease_ms, beat, offers_interrupted) VALUES ($1, $2, $3, $4)
       ON CONFLICT (instance_id) DO UPDATE SET
         beat = excluded.beat, closed = false, seen_at = clock_timestamp()`,
    ),
    // A server that was restored, or promoted, may lack the row of a host that made no other connection since.
    putHostBack: named(
      "put_host_back",
      `INSERT INTO ${s}.hosts (instance_id, lease_ms, beat, offers_interrupted) VALUES ($1, $2, $3, $4)
       ON CONFLICT DO NOTHING`,
    ),
    hosts: named(
      "hosts",
      `SELECT instance_id, lease_ms, beat, closed, offers_interrupted FROM ${s}.hosts`,
    ),
    closeHost: named("close_host", `UPDATE ${s}.hosts SET closed = true WHERE instance_id = $1`),
    removeHost: named("remove_host", `DELETE FROM ${s}.hosts WHERE instance_id = $1`),
    forgetHost: named("forget_host", `DELETE FROM ${s}.hosts WHERE instance_id = $1 AND beat = $2`),
    // Reads the whole table: there is no index by owner. Needed only when a host has died.
    threadsHeldBy: named(
      "threads_held_by",
      `SELECT thread_id FROM ${s}.threads WHERE owner_id = $1`,
    ),
  };
}
