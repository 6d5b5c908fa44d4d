import { RunStoreError } from "../../index.ts";
import type { ApiErrorCode, ApiFailure } from "../api.ts";

/** A request that is answered with a failure. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: ApiErrorCode;

  constructor(status: number, code: ApiErrorCode, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const invalid = (message: string) => new Refusal(400, "INVALID_REQUEST", message);

/** The statuses of what is the fault of the request. Every other code of a store is a 503. */
const STATUS: Readonly<Record<string, number>> = {
  INVALID_CURSOR: 400,
  THREAD_NOT_FOUND: 404,
  RUN_NOT_FOUND: 404,
};

/** How a request is answered that failed with `error`. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof RunStoreError) {
    return new Refusal(STATUS[error.code] ?? 503, error.code, error.message);
  }
  // The API refuses wrong arguments with a TypeError.
  if (error instanceof TypeError) return invalid(error.message);
  return new Refusal(500, "INTERNAL", error instanceof Error ? error.message : String(error));
}

export function bodyOf({ code, message }: Refusal): ApiFailure {
  return { error: { code, message } };
}
