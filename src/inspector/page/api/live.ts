import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import type { ApiFailure, EventItem, LiveEvents, LiveMessages, ThreadAnswer } from "../../api.ts";
import { get } from "./client.ts";
import { ofRun } from "./queries.ts";

/** A run that executes, as far as it has come. */
export interface LiveRun {
  readonly epoch: number;
  readonly runId: string;
  /** Grows in place. `version` changes with it. */
  readonly items: readonly EventItem[];
  readonly version: number;
}

export interface Live {
  /** May have ended: then `ThreadSummary.lastRun` is this run or a later one. */
  readonly run: LiveRun | null;
  /** Why following failed. It is tried again. */
  readonly failure: ApiFailure["error"] | null;
}

const NOTHING: Live = { run: null, failure: null };

/**
 * Follows the runs of a thread, whichever process executes them. Not while nobody sees the page: a browser has
 * few connections to a server, and all its tabs share them.
 */
export function useLive(thread: string): Live {
  const client = useQueryClient();
  const isVisible = useSyncExternalStore(subscribeToVisibility, isPageVisible);
  const [live, setLive] = useState<Live>(NOTHING);

  useEffect(() => {
    if (!isVisible) return;
    const source = new EventSource(`api/live?${new URLSearchParams({ thread })}`);
    let run: { epoch: number; runId: string; items: EventItem[]; version: number } | null = null;
    let isClosed = false;
    let frame = 0;
    // Messages are taken in turn, though one may have to wait for a long event.
    let turn = Promise.resolve();
    const inTurn = (task: () => Promise<void> | void) => {
      turn = turn.then(() => (isClosed ? undefined : task())).catch(() => undefined);
    };
    // Events come faster than the page can be drawn.
    const draw = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setLive({ run: run === null ? null : { ...run }, failure: null });
      });
    };
    const on = <Name extends keyof LiveMessages>(
      name: Name,
      take: (message: LiveMessages[Name]) => Promise<void> | void,
    ) =>
      source.addEventListener(name, ({ data }: MessageEvent<string>) =>
        inTurn(() => take(JSON.parse(data) as LiveMessages[Name])),
      );

    on("thread", ({ thread: summary, live: held }) => {
      if (summary === null) return void client.invalidateQueries({ queryKey: ["thread", thread] });
      client.setQueryData<ThreadAnswer>(["thread", thread], (known) =>
        known === undefined ? known : { ...known, thread: summary, live: held },
      );
    });
    on("events", async (message) => {
      if (run?.epoch !== message.epoch) {
        run = { epoch: message.epoch, runId: message.runId, items: [], version: 0 };
      }
      const items = await wholeItems(thread, message);
      // What comes again after a lost connection takes the place of what was there.
      run.items.splice(message.from, items.length, ...items);
      run.version++;
      draw();
    });
    on("end", ({ isStored }) => {
      // A stored run stays until the views have what is stored of it.
      if (!isStored) run = null;
      draw();
      void client.invalidateQueries({ queryKey: ["thread", thread], exact: true });
    });
    on("failure", (failure) => setLive((before) => ({ ...before, failure })));

    return () => {
      isClosed = true;
      source.close();
      cancelAnimationFrame(frame);
      setLive(NOTHING);
    };
  }, [thread, client, isVisible]);

  return live;
}

const isPageVisible = () => document.visibilityState === "visible";

function subscribeToVisibility(listener: () => void): () => void {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
}

/** The items, with those events that were too long to be sent along. */
async function wholeItems(
  thread: string,
  { epoch, runId, items }: LiveEvents,
): Promise<EventItem[]> {
  return Promise.all(
    items.map(async (item) => {
      if (item.event !== null) return item;
      const query = { ...ofRun(thread, { epoch, runId }), index: String(item.index) };
      const answer = await get("api/run/event", query).catch(() => null);
      // Once the run is stored, its events are numbered anew.
      return answer?.item.type === item.type ? answer.item : item;
    }),
  );
}
