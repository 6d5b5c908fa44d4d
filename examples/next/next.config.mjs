export default {
  serverExternalPackages: ["durable-agent-runner"],
  // This example lies in a repository with a lockfile of its own.
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,
  // At the left, the button of Next's own tools lies over the user's name.
  devIndicators: { position: "bottom-right" },
};
