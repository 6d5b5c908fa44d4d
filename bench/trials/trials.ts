import type { Trial } from "../trial.ts";
import { FILE_TRIALS } from "./file.ts";
import { HISTORY_TRIALS } from "./history.ts";
import { HTTP_TRIALS } from "./http.ts";
import { LOAD_TRIALS } from "./load.ts";
import { MICRO_TRIALS } from "./micro.ts";
import { POSTGRES_TRIALS } from "./postgres.ts";

/** Every trial, in the order of the report. */
export const TRIALS: readonly Trial[] = [
  ...LOAD_TRIALS,
  ...HTTP_TRIALS,
  ...HISTORY_TRIALS,
  ...POSTGRES_TRIALS,
  ...FILE_TRIALS,
  ...MICRO_TRIALS,
];
