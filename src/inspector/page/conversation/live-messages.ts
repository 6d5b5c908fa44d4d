import { useMemo, useRef } from "react";
import { ThreadView } from "../../../events/view/thread-view.ts";
import type { EventLike, Message } from "../../api.ts";
import type { LiveRun } from "../api/live.ts";

interface Applied {
  readonly base: readonly Message[];
  readonly epoch: number;
  readonly view: ThreadView;
  events: number;
}

/**
 * The messages of a thread as the run that executes makes them, from those that are stored. The same
 * reducer makes what is stored in the end.
 */
export function useLiveMessages(
  base: readonly Message[] | undefined,
  run: LiveRun | null,
): readonly Message[] {
  const applied = useRef<Applied | null>(null);
  return useMemo(() => {
    if (base === undefined || run === null) return base ?? [];
    let last = applied.current;
    if (last === null || last.base !== base || last.epoch !== run.epoch) {
      last = { base, epoch: run.epoch, view: new ThreadView({ messages: base }), events: 0 };
      applied.current = last;
    }
    for (const { event } of run.items.slice(last.events)) {
      if (event !== null) last.view.apply(withoutEarlier(event, base));
    }
    last.events = run.items.length;
    return last.view.messages;
  }, [base, run]);
}

/**
 * An event whose messages go back to before `base` without these: `base` is only the end of the thread, and a
 * client may send the whole of it with each run.
 */
function withoutEarlier(event: EventLike, base: readonly Message[]): EventLike {
  const ids = new Set(base.map(({ id }) => id));
  const cut = (messages: unknown) => {
    if (!Array.isArray(messages)) return messages;
    const at = (messages as (Message | null)[]).findIndex((message) => ids.has(message?.id));
    return at < 0 ? messages : messages.slice(at);
  };
  if (event.type === "MESSAGES_SNAPSHOT") return { ...event, messages: cut(event.messages) };
  const { input } = event;
  if (event.type !== "RUN_STARTED" || typeof input !== "object" || input === null) return event;
  return { ...event, input: { ...input, messages: cut((input as Message).messages) } };
}
