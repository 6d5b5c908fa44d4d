/** Code points of a word that are compared. */
const MAX_WORD = 40;

/** Words of a search that are looked for. */
const MAX_QUERY_WORDS = 16;

/** Letters, digits, symbols such as emoji, and characters of private use. Marks were removed before. */
const WORD = /[\p{L}\p{N}\p{So}\p{Co}]+/gu;

/** Characters of scripts that are written without blanks. Each is a word of its own. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/gu;

/**
 * The words of a text, each once: in small letters, without accents, in the compatible form of Unicode. An
 * index and a search take the same words of the same text, so that the database need not know any Unicode.
 */
export function wordsOf(text: string): Set<string> {
  const plain = isAscii(text) ? text : text.normalize("NFKD").replace(/\p{M}+/gu, "");
  const lower = plain.toLowerCase();
  const words = new Set<string>();
  if (isAscii(lower)) {
    for (const word of lower.match(/[a-z0-9]+/g) ?? []) words.add(word.slice(0, MAX_WORD));
    return words;
  }
  for (const word of lower.replace(UNSPACED, " $& ").match(WORD) ?? []) {
    words.add(word.length <= MAX_WORD ? word : [...word].slice(0, MAX_WORD).join(""));
  }
  return words;
}

/** The words of a search, each of which is to begin a word of a thread. They have no quotes in them. */
export function wordsOfSearch(search: string): string[] {
  return [...wordsOf(search)].slice(0, MAX_QUERY_WORDS);
}

function isAscii(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII begins with them
  return /^[\x00-\x7f]*$/.test(text);
}
