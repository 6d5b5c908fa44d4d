// Imported before @copilotkit/runtime, which reads this once, while it is being loaded.
process.env.COPILOTKIT_TELEMETRY_DISABLED ??= "true";
