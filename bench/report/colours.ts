/**
 * A colour for each peer that is legible on white and on black. The lightness differs too, for readers who
 * cannot tell red from green.
 */
const PEERS: Readonly<Record<string, string>> = {
  durable: "#2f81f7",
  "durable-normal": "#0e93a8",
  "in-memory": "#a371d9",
  synchronous: "#d9622b",
  limit: "#7d8590",
  "no-runner": "#4f9a50",
};

export const colourOf = (peer: string): string => PEERS[peer] ?? "#7d8590";

export const TEXT = "#737b85";
export const GRID = "#737b8555";
