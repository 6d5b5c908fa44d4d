import { setImmediate as nextTask } from "node:timers/promises";
import type { EventLike, StoreAgentRunner } from "../../index.ts";
import type {
  EventAnswer,
  EventItem,
  EventsAnswer,
  InputAnswer,
  RunAnswer,
  RunMessagesAnswer,
  RunStateAnswer,
  RunsAnswer,
  StateChange,
  TimelineAnswer,
} from "../api.ts";
import type { Parameters } from "./parameters.ts";
import { Refusal } from "./refusal.ts";
import {
  countsOf,
  differenceOf,
  errorOf,
  interruptsOf,
  lastEvent,
  runItem,
  STATE_EVENTS,
  stateChange,
  timesOf,
} from "./run-facts.ts";
import { type FedEvent, itemOf } from "./run-feed.ts";
import type { ReadRun, RunReader } from "./run-reader.ts";
import { durationOf, Timeline } from "./timeline.ts";

/** Bytes of events on a page, unless one event alone has more. */
const PAGE_BYTES = 512 * 1024;
/** About what a long event takes on a page, of which only the beginning is shown. */
const PREVIEW_BYTES = 1024;
/** Events that are looked through within one task. */
const EVENTS_PER_TASK = 2000;
const MAX_STATE_CHANGES = 1000;

export class RunAnswers {
  readonly #runner: StoreAgentRunner;
  readonly #read: RunReader;

  constructor(runner: StoreAgentRunner, read: RunReader) {
    this.#runner = runner;
    this.#read = read;
  }

  async list(parameters: Parameters): Promise<RunsAnswer> {
    const threadId = parameters.id("thread");
    const [page, live] = await Promise.all([
      this.#runner.threads.runs(threadId, {
        limit: parameters.wholeNumber("limit", 1, 500),
        cursor: parameters.text("cursor"),
      }),
      this.#read.holder(threadId),
    ]);
    return { runs: page.runs.map(runItem), nextCursor: page.nextCursor, live };
  }

  async get(parameters: Parameters): Promise<RunAnswer> {
    const read = await this.#of(parameters);
    const { run, live, feed } = read;
    const counts = countsOf(feed.events);
    const last = lastEvent(feed);
    return {
      run: run === null ? null : runItem(run),
      live,
      times: timesOf(read),
      events: feed.events.length,
      ...counts,
      tokens: run?.tokens ?? null,
      error: errorOf(last),
      interrupts: interruptsOf(last),
      previous: run?.previous ?? null,
      next: run?.next ?? null,
    };
  }

  async input(parameters: Parameters): Promise<InputAnswer> {
    const { feed } = await this.#of(parameters);
    const start = feed.events.find(({ type, isCut }) => type === "RUN_STARTED" && !isCut);
    const input =
      start === undefined ? null : ((JSON.parse(start.json) as EventLike).input ?? null);
    return { input, bytes: input === null ? 0 : Buffer.byteLength(JSON.stringify(input)) };
  }

  async messages(parameters: Parameters): Promise<RunMessagesAnswer> {
    const threadId = parameters.id("thread");
    const { run } = await this.#of(parameters);
    const { threads } = this.#runner;
    if (run === null) {
      const { length } = await threads.messages(threadId);
      return { before: length, after: length, added: [], changed: [], removed: [] };
    }
    const { previous } = run;
    const [before, after] = await Promise.all([
      previous === null ? [] : threads.messages(threadId, { after: previous }),
      threads.messages(threadId, { after: run }),
    ]);
    return differenceOf(before, after);
  }

  async state(parameters: Parameters): Promise<RunStateAnswer> {
    const threadId = parameters.id("thread");
    const { run, feed } = await this.#of(parameters);
    const { threads } = this.#runner;
    const previous = run === null ? undefined : run.previous;
    const [before, after] = await Promise.all([
      previous === null
        ? {}
        : threads.state(threadId, previous === undefined ? {} : { after: previous }),
      // What a run that executes has made of it so far is known from its changes alone.
      run === null ? null : threads.state(threadId, { after: run }),
    ]);
    const changes: StateChange[] = [];
    let total = 0;
    for (const [index, event] of feed.events.entries()) {
      const kind = STATE_EVENTS.get(event.type);
      if (kind === undefined) continue;
      if (total++ < MAX_STATE_CHANGES) changes.push(stateChange(event, index, kind));
    }
    return { before, after, changes, total };
  }

  async events(parameters: Parameters): Promise<EventsAnswer> {
    const { live, feed } = await this.#of(parameters);
    const from = parameters.wholeNumber("from", 0) ?? 0;
    const limit = parameters.wholeNumber("limit", 1, 1000) ?? 200;
    const types = parameters.text("types");
    const isWanted = filterOf(types?.split(","), parameters.text("search"));
    const page = new EventPage(limit);
    // More may come meanwhile, of a run that executes.
    const { length } = feed.events;
    let matches = length;
    if (isWanted === null) {
      for (let index = from; index < length && page.next === null; index++) {
        page.add(feed.events[index] as FedEvent, index);
      }
    } else {
      matches = 0;
      for (let index = 0; index < length; index++) {
        if (index % EVENTS_PER_TASK === 0) await nextTask();
        const event = feed.events[index] as FedEvent;
        if (!isWanted(event)) continue;
        matches++;
        if (index >= from) page.add(event, index);
      }
    }
    const { items, next } = page;
    return { events: items, total: length, matches, next, isLive: live !== null };
  }

  async event(parameters: Parameters): Promise<EventAnswer> {
    const threadId = parameters.id("thread");
    const index = parameters.wholeNumber("index", 0);
    if (index === undefined) throw new Refusal(400, "INVALID_REQUEST", "expected an index");
    const { feed, run } = await this.#of(parameters);
    const kept = feed.events[index];
    if (kept === undefined) {
      throw new Refusal(404, "EVENT_NOT_FOUND", `The run has ${feed.events.length} events.`);
    }
    let event = kept.isCut ? null : (JSON.parse(kept.json) as EventLike);
    if (event === null && run !== null) {
      let at = 0;
      for await (const other of this.#runner.threads.runEvents(threadId, run)) {
        if (at++ !== index) continue;
        event = other;
        break;
      }
    }
    if (event === null) {
      throw new Refusal(413, "TOO_LARGE", "The run is too long to be shown while it executes.");
    }
    return { item: { ...itemOf(kept, index), event, preview: null } };
  }

  async timeline(parameters: Parameters): Promise<TimelineAnswer> {
    const read = await this.#of(parameters);
    const { feed, run, live } = read;
    const timeline = new Timeline();
    const events = feed.events.slice();
    let bytes = 0;
    for (const [index, event] of events.entries()) {
      if (index % EVENTS_PER_TASK === 0) await nextTask();
      timeline.add(event, index);
      bytes += event.bytes;
    }
    const times = timesOf(read);
    const whole = {
      ...{ kind: "run" as const, id: run?.runId ?? live?.runId ?? "", label: run?.agentId ?? "" },
      ...{ parent: null, from: 0, to: Math.max(0, events.length - 1), ...times },
      ...{ bytes, preview: "", isOpen: run === null },
    };
    const { timedEvents: _, ...span } = whole;
    const spans = timeline.spans.map((part) => ({
      ...part,
      // The run comes first.
      parent: part.parent === null ? 0 : part.parent + 1,
      durationMs: durationOf(part.startedAt, part.endedAt),
    }));
    return {
      spans: [span, ...spans],
      isCut: timeline.isCut,
      events: events.length,
      times,
      isTimed: spans.some(({ startedAt }) => startedAt !== null),
      marks: timeline.marks,
    };
  }

  #of(parameters: Parameters): Promise<ReadRun> {
    return this.#read.read(parameters.id("thread"), parameters.run());
  }
}

/** Events as they fit one answer. */
class EventPage {
  readonly items: EventItem[] = [];
  /** The index of the first event that did not fit. */
  next: number | null = null;
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Does nothing once the page is full. */
  add(event: FedEvent, index: number): void {
    if (this.next !== null) return;
    const item = itemOf(event, index);
    const bytes = item.event === null ? PREVIEW_BYTES : event.bytes;
    const isTooLong = this.items.length > 0 && this.#bytes + bytes > PAGE_BYTES;
    if (this.items.length === this.#limit || isTooLong) {
      this.next = index;
      return;
    }
    this.#bytes += bytes;
    this.items.push(item);
  }
}

/** Which events a request wants. Null for all. */
function filterOf(
  types: readonly string[] | undefined,
  search: string | undefined,
): ((event: FedEvent) => boolean) | null {
  if (types === undefined && search === undefined) return null;
  const wanted = types === undefined ? null : new Set(types);
  const text = search?.toLowerCase();
  return ({ type, json }) =>
    (wanted === null || wanted.has(type)) &&
    (text === undefined || json.toLowerCase().includes(text));
}
