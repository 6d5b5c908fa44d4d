import { type StoredText, unpackText } from "../values/packed-text.ts";
import { placesOf } from "../values/stored-places.ts";
import type { EraseStatements } from "./erase-statements.ts";
import type { Needles } from "./needles.ts";
import type { Slices } from "./slices.ts";

/** Rows that are read together. */
const ROWS = 32;

/** Adds parts of everything that the file has of a thread. */
export async function collectNeedles(
  statements: EraseStatements,
  slices: Slices,
  threadId: string,
  needles: Needles,
): Promise<void> {
  needles.addText(threadId);
  const thread = await slices.look(() => statements.threadToErase.get(threadId));
  needles.addText(thread?.title ?? null);
  needles.addJson(thread?.metadata ?? null);
  const facts = await slices.look(() => statements.factsToErase.get(threadId));
  needles.addJson(facts?.facts ?? null);
  for (const word of facts?.words.split(" ") ?? []) needles.addText(word);
  const views = await slices.look(() => statements.viewsToErase.all(threadId));
  for (const view of views) needles.addBytes(view);
  const segments = await slices.look(() => statements.segmentsToErase.all(threadId));
  for (const events of segments) needles.addJson(events);
  await eachPage(
    (after: number) => slices.look(() => statements.runsToErase.all(threadId, after, ROWS)),
    0,
    (run) => {
      needles.addText(run.run_id);
      needles.addText(run.client_run_id);
      for (const json of [run.events, run.input]) needles.addJson(json);
      for (const places of [run.shared_events, run.shared_input]) addStored(needles, places);
      for (const [, , packed] of placesOf(run)) {
        for (const piece of packed) if (typeof piece === "string") needles.addJson(piece);
      }
      return run.id;
    },
  );
  await eachPage(
    (after: string) => slices.look(() => statements.messageIdsAfter.all(threadId, after, ROWS)),
    "",
    (id) => {
      needles.addText(id);
      return id;
    },
  );
  await eachPage(
    (after: number) => slices.look(() => statements.valuesAfter.all(threadId, after, ROWS)),
    0,
    ({ id, text }) => {
      addStored(needles, text);
      needles.addJson(unpackText(text));
      return id;
    },
  );
}

/** Adds a text as it is in its row: most are deflated. Journals had it as it was. */
function addStored(needles: Needles, stored: StoredText | null): void {
  if (typeof stored === "string") needles.addJson(stored);
  else needles.addBytes(stored);
}

/** Reads pages of rows. `take` returns what the next page comes after. */
async function eachPage<Row, Key>(
  read: (after: Key) => Promise<readonly Row[]>,
  first: Key,
  take: (row: Row) => Key,
): Promise<void> {
  let after = first;
  for (;;) {
    const rows = await read(after);
    for (const row of rows) after = take(row);
    if (rows.length < ROWS) return;
  }
}
