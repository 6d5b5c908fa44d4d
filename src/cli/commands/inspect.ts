import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Command } from "commander";
import { buildPage } from "../../inspector/server/build-page.ts";
import { startInspector } from "../../inspector/server/inspector-server.ts";
import { builtPage } from "../../inspector/server/page-files.ts";
import { newCommand } from "../command.ts";
import { CommandFailure, EXIT } from "../failure.ts";
import { note, print, printJson } from "../print.ts";
import { type CommonOptions, type Session, withRunner } from "../session.ts";
import { wholeNumber } from "../values.ts";
import { version } from "../version.ts";

interface Options extends CommonOptions {
  readonly port: number;
  readonly open?: boolean;
}

export function inspectCommand(): Command {
  const examples = ["inspect --db ./data/threads.db", "inspect --port 4999 --open"];
  const summary = "show threads, runs and events in a browser";
  const about = `Serves a page on 127.0.0.1 until Ctrl-C. Whoever has the printed URL may read all threads and stop runs: it
holds a token, which is another one with each start.`;
  return newCommand({ usage: "inspect", summary, about, examples })
    .option("--port <number>", "the port; 0 is any that is free", wholeNumber(0, 65_535), 0)
    .option("--open", "open the page in the browser")
    .action((options: Options) => withRunner(options, (session) => inspect(session, options)));
}

async function inspect({ runner, place, signal }: Session, options: Options): Promise<void> {
  const page = builtPage() ?? (await buildPage(() => note("building the page …")));
  const { port, resource } = options;
  const database = { kind: place.kind, name: place.name };
  const inspector = await startInspector({
    ...{ runner, database, version: version(), page, port, resource },
  }).catch((error: NodeJS.ErrnoException) => {
    throw failureOf(error, port);
  });
  try {
    const { url } = inspector;
    if (options.json === true) await printJson({ url });
    else await print(`${url}\n`);
    note("Ctrl-C ends the inspector.");
    if (options.open === true) open(inspector.urlForOnce());
    if (!signal.aborted) await once(signal, "abort");
  } finally {
    await inspector.close();
  }
}

function failureOf(error: NodeJS.ErrnoException, port: number): Error {
  if (error.code === "EADDRINUSE") {
    return new CommandFailure(EXIT.failed, `port ${port} is taken: choose another by --port`);
  }
  if (error.code === "EACCES") {
    return new CommandFailure(EXIT.failed, `port ${port} needs a privilege: choose a higher one`);
  }
  return error;
}

/** Where no browser can be opened, the URL is there to be copied. */
function open(url: string): void {
  const [command, ...args] =
    process.platform === "win32"
      ? ["cmd", "/c", "start", '""', url]
      : [process.platform === "darwin" ? "open" : "xdg-open", url];
  const child = spawn(command ?? "", args, { stdio: "ignore", detached: true });
  child.on("error", () => note("no browser could be opened"));
  child.unref();
}
