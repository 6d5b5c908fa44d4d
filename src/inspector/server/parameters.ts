import type { RunRef } from "../../index.ts";
import { invalid } from "./refusal.ts";

/** The query of a request. Each method throws a `Refusal` of code `INVALID_REQUEST` for what is wrong. */
export class Parameters {
  readonly #query: URLSearchParams;

  constructor(query: URLSearchParams) {
    this.#query = query;
  }

  /** Undefined for a parameter that is left out, or empty. */
  text(name: string): string | undefined {
    return this.#query.get(name) || undefined;
  }

  /** An id, which is needed and not empty. */
  id(name: string): string {
    const value = this.#query.get(name);
    if (value !== null && value !== "") return value;
    throw invalid(`expected ${name} to be a non-empty string`);
  }

  wholeNumber(name: string, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= least && number <= most) return number;
    throw invalid(`expected ${name} to be a whole number from ${least} to ${most}`);
  }

  oneOf<Name extends string>(name: string, names: readonly Name[]): Name | undefined {
    const value = this.text(name);
    const known = names.find((other) => other === value);
    if (value === undefined || known !== undefined) return known;
    throw invalid(`expected ${name} to be one of ${names.join(", ")}`);
  }

  flag(name: string): boolean | undefined {
    const value = this.oneOf(name, ["true", "false"]);
    return value === undefined ? undefined : value === "true";
  }

  /** A JSON object. */
  object(name: string): Record<string, unknown> | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    let parsed: unknown;
    try {
      parsed = JSON.parse(value);
    } catch {
      // Refused below.
    }
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
    throw invalid(`expected ${name} to be a JSON object`);
  }

  run(): RunRef {
    const run = this.optionalRun();
    if (run === undefined) throw invalid("expected epoch to be a whole number");
    return run;
  }

  optionalRun(): RunRef | undefined {
    const epoch = this.wholeNumber("epoch", 0);
    return epoch === undefined ? undefined : { epoch, runId: this.text("run") };
  }
}
