import type { ThreadAnswer } from "../../api.ts";
import type { Live } from "../api/live.ts";
import type { Place } from "../location.ts";

/** What each view of a thread is given. */
export interface ViewProps {
  readonly answer: ThreadAnswer;
  readonly live: Live;
  readonly place: Place;
}
