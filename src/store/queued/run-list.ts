/**
 * Runs that come and go all the time, in no order.
 *
 * This is a list, not a map or a set: with one of those, the event loop was late by twice as much under
 * load. V8 replaces the table of a map whose entries come and go all the time. A replaced table in V8's
 * old space keeps the new table and all its runs from being collected until the next major collection.
 *
 * `Field` is a field of a run that only its list writes: the run's index in the list, at first -1.
 */
export class RunList<Field extends string, Run extends Record<Field, number>>
  implements Iterable<Run>
{
  readonly #field: Field;
  readonly #runs: Run[] = [];

  constructor(field: Field) {
    this.#field = field;
  }

  has(run: Run): boolean {
    return this.#runs[run[this.#field]] === run;
  }

  add(run: Run): void {
    this.#place(run, this.#runs.length);
  }

  /** Does nothing for a run that is not in the list. */
  remove(run: Run): void {
    if (!this.has(run)) return;
    const last = this.#runs.pop();
    if (last !== undefined && last !== run) this.#place(last, run[this.#field]);
  }

  clear(): void {
    this.#runs.length = 0;
  }

  [Symbol.iterator](): Iterator<Run> {
    return this.#runs[Symbol.iterator]();
  }

  #place(run: Run, at: number): void {
    this.#runs[at] = run;
    const index: Record<Field, number> = run;
    index[this.#field] = at;
  }
}
