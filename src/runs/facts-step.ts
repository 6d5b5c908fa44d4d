import { spanReader } from "../events/shared/span-texts.ts";
import type { FactsOfThread, FactsRequest } from "../protocol/compactor-messages.ts";
import { wordsOf } from "./search-words.ts";
import { addRun, eventsOfFacts, parseFacts } from "./thread-facts.ts";

/** Makes what lists of threads and searches need of runs. */
export function makeFacts({ threads, withWords }: FactsRequest): readonly FactsOfThread[] {
  return threads.map(({ facts: before, runs, chunks }) => {
    const readSpan = spanReader(chunks);
    let facts = parseFacts(before);
    const words = new Set<string>();
    for (const run of runs) {
      const { events: json, shared_events, tail } = run;
      const events =
        json === null ? null : eventsOfFacts({ events: json, shared_events }, readSpan);
      const added = addRun(facts, run, { events, tail });
      facts = added.facts;
      if (!withWords) continue;
      for (const text of added.texts) for (const word of wordsOf(text)) words.add(word);
    }
    return { facts, words: [...words] };
  });
}
