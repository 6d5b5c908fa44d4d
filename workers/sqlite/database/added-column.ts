/** A column that files of an earlier schema version lack. `type` is what follows the name in SQL. */
export type AddedColumn = readonly [table: string, column: string, type: string];
