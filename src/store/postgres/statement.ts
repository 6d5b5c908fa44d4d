/** A statement, named so that the server prepares it once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}
