// A setup file of vitest: what the clients of AG-UI warn of is not printed. Tests give them random, damaged and
// hostile events, and they warn of each patch that does not apply and of each message that is missing.

const OF_A_CLIENT =
  /^(Failed to apply (state|activity) patch|(TEXT_MESSAGE|REASONING_MESSAGE|TOOL_CALL|ACTIVITY)_[A-Z]+: |\[ag-ui\]|AG-UI is )/;

const warn = console.warn;

console.warn = (...what: unknown[]) => {
  if (!OF_A_CLIENT.test(String(what[0]))) warn(...what);
};
