import type { Send } from "../connection.ts";

export interface Table {
  /** With its schema, quoted. */
  readonly name: string;
  /** Whether its rows belong to threads. */
  readonly hasThreads: boolean;
  /** Whether this user may VACUUM it. */
  readonly isOurs: boolean;
}

/** All tables of a schema. */
export async function tablesOf(send: Send, schema: string): Promise<readonly Table[]> {
  // Since version 17, the right to VACUUM can be granted. The function refuses the name of a right that it does not know.
  const text = `SELECT format('%I.%I', n.nspname, c.relname) AS name,
      EXISTS (SELECT 1 FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'thread_id'
        AND NOT a.attisdropped) AS has_threads,
      pg_has_role(c.relowner, 'USAGE') OR CASE
        WHEN current_setting('server_version_num')::int4 >= 170000
        THEN has_table_privilege(c.oid, 'MAINTAIN') ELSE false END AS is_ours
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY 1`;
  const { rows } = await send({ name: "", text }, [schema]);
  type Row = { readonly name: string; readonly has_threads: boolean; readonly is_ours: boolean };
  return (rows as Row[]).map(({ name, has_threads: hasThreads, is_ours: isOurs }) => ({
    ...{ name, hasThreads, isOurs },
  }));
}

/** Removes the dead rows of tables, with their long values. Returns whether this user may do that for each. */
export async function vacuum(send: Send, tables: readonly Table[]): Promise<boolean> {
  for (const { name, isOurs } of tables) {
    if (isOurs) await send({ name: "", text: `VACUUM (INDEX_CLEANUP ON) ${name}` });
  }
  return tables.every(({ isOurs }) => isOurs);
}

/**
 * By how many transactions the oldest snapshot that somebody holds is older than a transaction, 0 if none is:
 * PostgreSQL removes no row that such a snapshot may see. Snapshots of other users count only where this user may
 * see them.
 */
export async function oldestSnapshotAge(send: Send, transactionId: string): Promise<number> {
  const text = `SELECT greatest(0, max(age(x.xmin) - age($1::xid8::xid))) AS behind FROM (
      SELECT backend_xmin AS xmin FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
          AND (datname = current_database() OR datname IS NULL)
          AND NOT (query LIKE 'autovacuum: VACUUM %' AND query NOT LIKE 'autovacuum: VACUUM ANALYZE %')
      UNION ALL SELECT xmin FROM pg_replication_slots WHERE xmin IS NOT NULL
      UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()) AS x`;
  const { rows } = await send({ name: "", text }, [transactionId]);
  return Number(rows[0]?.behind ?? 0);
}
