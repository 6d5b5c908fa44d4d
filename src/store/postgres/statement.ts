/** A statement, named so that the server prepares it once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** What a host does with a thread in several transactions: see `schema.ts`. */
export type Unfinished = "removal" | "fork" | "sweep";

/** The condition that a row of `threads` is known: see `isHidden`. */
export const notHidden = (alias: string) =>
  `coalesce(${alias}.unfinished, '') NOT IN ('removal', 'fork')`;
