import type { FactsOfThread, FactsRequest } from "../protocol/compactor-messages.ts";
import { eventsOf } from "./compact-journal.ts";
import { wordsOf } from "./search-words.ts";
import { addRun, parseFacts } from "./thread-facts.ts";

/** Makes what lists of threads and searches need of runs. */
export function makeFacts({ threads, withWords }: FactsRequest): readonly FactsOfThread[] {
  return threads.map(({ facts: before, runs }) => {
    let facts = parseFacts(before);
    const words = new Set<string>();
    for (const run of runs) {
      const { events: json, tail } = run;
      const events = json === null ? null : eventsOf([json]);
      const added = addRun(facts, run, { events, tail });
      facts = added.facts;
      if (!withWords) continue;
      for (const text of added.texts) for (const word of wordsOf(text)) words.add(word);
    }
    return { facts, words: [...words] };
  });
}
