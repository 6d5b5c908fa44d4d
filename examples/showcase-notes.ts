/** The knowledge of the demo agent: a note for each question that users have about a durable runner. */
export interface Note {
  readonly title: string;
  readonly text: string;
}

const NOTES: readonly Note[] = [
  {
    title: "What this server is",
    text:
      "This is an ordinary CopilotKit runtime whose runner keeps every thread in one SQLite " +
      "file. Clients get each event in the tick in which the agent emits it; a worker thread " +
      "stores it, so the disk never holds up the stream.",
  },
  {
    title: "When the process is killed",
    text:
      "A completed run survives, even `kill -9`: its stream only ends once the run is " +
      "committed. A run that was in flight keeps what had been stored of it, ends in a " +
      "RUN_ERROR with the code RUN_INTERRUPTED when the server starts again, and its thread " +
      "takes the next message as if nothing had happened.",
  },
  {
    title: "When a page reloads or the network drops",
    text:
      "The run goes on without its reader. A client that connects again first gets the " +
      "history of the thread, then the rest of the live run, with no gap and nothing twice, " +
      "and it ends with the same messages.",
  },
  {
    title: "How to stop a run",
    text:
      "The stop endpoint aborts the agent. Whatever was open is closed in order, the run ends " +
      "in RUN_FINISHED, and what had been said so far is stored. An agent that ignores the " +
      "abort is cut off after a timeout.",
  },
  {
    title: "How long a history may grow",
    text:
      "A run is stored compacted: the tokens of a message become one event, and only the " +
      "messages that are new to the thread are kept with it. The history is read in pages, so " +
      "a long thread does not block the others.",
  },
  {
    title: "Many users, one runner",
    text:
      "An application tells the runner which user sends a request, by the login that it has. Each " +
      "user then sees, continues and stops the threads of that user alone, and a thread of " +
      "somebody else is answered like an unknown one.",
  },
  {
    title: "More than one process",
    text:
      "Any number of servers may share the file, or a PostgreSQL database. Each of them follows " +
      "and stops the runs of the others, and when one of them dies, the others end its runs.",
  },
];

/** All notes as one, which takes a while to say. */
const EVERYTHING: Note = {
  title: "Everything in the notes",
  text: NOTES.map(({ title, text }) => `\n\n**${title}.** ${text}`).join(""),
};

/**
 * The note that shares the most words with the question. The first note if none shares a word; all notes
 * if it asks for everything.
 */
export function findNote(question: string): Note {
  const asked = new Set(wordsOf(question));
  if (asked.has("everything")) return EVERYTHING;
  const score = (note: Note) =>
    new Set(wordsOf(`${note.title} ${note.text}`).filter((word) => asked.has(word))).size;
  return NOTES.reduce((best, note) => (score(note) > score(best) ? note : best));
}

/** Short words do not identify a subject. */
function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[a-z]{4,}/g) ?? [];
}
