import { once } from "node:events";
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import type { Api, LiveMessages } from "../../src/inspector/api.ts";
import { type Child, nextLine } from "./child-process.ts";
import { startCli } from "./cli.ts";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

type GetPath = {
  [Route in keyof Api]: Route extends `GET ${infer Path}` ? Path : never;
}[keyof Api];
type Query<Path extends GetPath> = Api[`GET ${Path}`]["query"];
type Answer<Path extends GetPath> = Api[`GET ${Path}`]["answer"];

/** The messages of "api/live", each with its name. */
export type LiveMessage = {
  [Name in keyof LiveMessages]: {
    readonly name: Name;
    readonly data: LiveMessages[Name];
    readonly id: string;
  };
}[keyof LiveMessages];

/** The inspector of the command line, in a process of its own. */
export class Inspector {
  readonly child: Child;
  readonly url: URL;

  private constructor(child: Child, url: string) {
    this.child = child;
    this.url = new URL(url);
  }

  static async start(
    db: string,
    args: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): Promise<Inspector> {
    const child = startCli(["inspect", "--db", db, ...args], env);
    return new Inspector(child, await nextLine(child));
  }

  /** "/TOKEN/". */
  get base(): string {
    return this.url.pathname;
  }

  /** Asks for a path exactly as it is given: no client of its own tidies it up. */
  async ask(
    path: string,
    { method = "GET", headers = {}, body }: RequestOptions = {},
  ): Promise<Reply> {
    const response = await this.#send(path, {
      method,
      headers,
      ...(body !== undefined && { body }),
    });
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += chunk;
    return { status: response.statusCode ?? 0, headers: response.headers, text };
  }

  /** Asks the API. */
  async tryGet(
    path: string,
    query: object = {},
  ): Promise<{ status: number; body: unknown; bytes: number }> {
    const search = new URLSearchParams(query as Record<string, string>);
    const { status, text } = await this.ask(
      `${this.base}api/${path.replace(/^api\//, "")}?${search}`,
    );
    return { status, body: JSON.parse(text), bytes: Buffer.byteLength(text) };
  }

  /** An answer of the API, which has to succeed. */
  async get<Path extends GetPath>(path: Path, query: Query<Path>): Promise<Answer<Path>> {
    const { status, body } = await this.tryGet(path, query);
    if (status !== 200) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`);
    return body as Answer<Path>;
  }

  /** Posts as the page does. */
  post(
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reply> {
    return this.ask(`${this.base}${path}`, {
      method: "POST",
      headers: { origin: this.url.origin, "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  }

  /** The messages of "api/live". Ending the loop closes the connection, as closing the page does. */
  async *live(
    thread: string,
    headers: Readonly<Record<string, string>> = {},
  ): AsyncGenerator<LiveMessage, void, undefined> {
    const path = `${this.base}api/live?${new URLSearchParams({ thread })}`;
    const response = await this.#send(path, { method: "GET", headers });
    let text = "";
    try {
      for await (const chunk of response.setEncoding("utf8")) {
        text += chunk;
        const blocks = text.split("\n\n");
        text = blocks.pop() ?? "";
        for (const block of blocks) if (!block.startsWith(":")) yield messageOf(block);
      }
    } finally {
      response.destroy();
    }
  }

  /** Ends it as Ctrl-C does. */
  async end(): Promise<{ readonly code: number | null; readonly stderr: string }> {
    this.child.process.kill("SIGINT");
    return this.child.exited;
  }

  async #send(
    path: string,
    {
      method,
      headers,
      body,
    }: Required<Pick<RequestOptions, "method" | "headers">> & { body?: string },
  ): Promise<IncomingMessage> {
    const { hostname, port, host } = this.url;
    const sent = request({ hostname, port, path, method, headers: { host, ...headers } });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response;
  }
}

function messageOf(block: string): LiveMessage {
  const fields = new Map(
    block.split("\n").map((line) => {
      const at = line.indexOf(": ");
      return [line.slice(0, at), line.slice(at + 2)];
    }),
  );
  const data = JSON.parse(fields.get("data") ?? "null");
  return { name: fields.get("event"), data, id: fields.get("id") ?? "" } as LiveMessage;
}
