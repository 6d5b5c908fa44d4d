import type { AgentStateMutation, AgentSubscriber } from "@ag-ui/client";
import type { Message } from "@ag-ui/core";
import { ProxiedCopilotRuntimeAgent } from "@copilotkit/core";

const RUNTIME_URL = "/api/copilotkit";
const AGENT_ID = "default";
/** Tokens that arrive within this time are shown together. */
const SHOW_EVERY_MS = 30;
/** An answer of which so many characters have arrived is in its middle. */
const MIDDLE = 200;

/** What the page shows of a thread. */
export interface View {
  readonly messages: readonly Message[];
  /** A run is under way, started here or elsewhere. */
  readonly isAnswering: boolean;
  /**
   * A stream of the server is open: of a run, or of the history. The stream of a run ends once the run is
   * stored, a little after its last event.
   */
  readonly isStreaming: boolean;
  /** How the last run ended, if it failed. */
  readonly failure: Failure | null;
  /** The connection broke: `connect` has to be called again once the server is there. */
  readonly isCut: boolean;
  /** A message that was sent and that the server does not know: it was killed too early. */
  readonly unsent: string | null;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
}

/**
 * A thread, on CopilotKit's AG-UI client. Each connect takes a new client, which gets the whole history; the
 * view keeps what it shows until then.
 */
export class Conversation {
  readonly threadId: string;
  #agent: ProxiedCopilotRuntimeAgent;
  #view: View;
  #isRunOpen = false;
  #failure: Failure | null = null;
  #isCut = false;
  #isStreaming: boolean;
  #asked: Message | null = null;
  #unsent: string | null = null;
  #timer: number | undefined;
  readonly #listeners = new Set<() => void>();

  /** `isNew`: the server does not know this thread yet. */
  constructor(threadId: string, isNew: boolean) {
    this.threadId = threadId;
    this.#isStreaming = !isNew;
    this.#agent = this.#newAgent();
    this.#view = this.#currentView([]);
  }

  /** What is shown. It may be `SHOW_EVERY_MS` older than `isStreaming` and `isCut`. */
  get view(): View {
    return this.#view;
  }

  /** As in `View`, at this moment. */
  get isStreaming(): boolean {
    return this.#isStreaming;
  }

  /** As in `View`, at this moment. */
  get isCut(): boolean {
    return this.#isCut;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Gets the history, then follows the run that is under way, to its end. */
  async connect(): Promise<void> {
    const agent = this.#newAgent();
    await this.#follow(agent, () => agent.connectAgent(undefined, this.#subscriber(agent)));
    const asked = this.#asked;
    if (this.#agent !== agent || this.#isCut || asked === null) return;
    const isKnown = agent.messages.some(({ id }) => id === asked.id);
    this.#unsent = isKnown ? null : textOf(asked);
    this.#asked = null;
    this.#show();
  }

  /** Sends a message, and follows the answer to its end. Not while a stream is open. */
  async send(text: string): Promise<void> {
    this.#asked = { id: crypto.randomUUID(), role: "user", content: text };
    this.#unsent = null;
    this.#agent.addMessage(this.#asked);
    await this.#answer();
  }

  /** Has the last question answered from the start. The new answer takes the place of the one before. */
  async answerAgain(): Promise<void> {
    const { messages } = this.#agent;
    const question = messages.findLastIndex(({ role }) => role === "user");
    this.#agent.setMessages(messages.slice(0, question + 1));
    await this.#answer();
  }

  /** Ends the run that is under way, in whatever process. */
  stop(): void {
    this.#agent.abortRun();
  }

  /** Resolves once an answer is in its middle, or over. */
  async untilMiddle(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const unsubscribe = this.subscribe(() => {
      const last = this.#view.messages.at(-1);
      const isInMiddle = last?.role === "assistant" && textOf(last).length > MIDDLE;
      if (isInMiddle || !this.#view.isAnswering) resolve();
    });
    await promise;
    unsubscribe();
  }

  /** Leaves the stream of the server. A run that is under way goes on. */
  close(): void {
    void this.#agent.detachActiveRun();
    this.#listeners.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #answer(): Promise<void> {
    const agent = this.#agent;
    this.#isRunOpen = true;
    await this.#follow(agent, () => agent.runAgent(undefined, this.#subscriber(agent)));
    if (this.#agent === agent && !this.#isCut) this.#asked = null;
  }

  /** Until `stream` ends. Whatever an earlier stream brings meanwhile is ignored. */
  async #follow(agent: ProxiedCopilotRuntimeAgent, stream: () => Promise<unknown>): Promise<void> {
    const before = this.#agent;
    this.#agent = agent;
    if (before !== agent) void before.detachActiveRun();
    this.#isStreaming = true;
    this.#isCut = false;
    this.#failure = null;
    this.#show();
    try {
      await stream();
    } catch {
      if (this.#agent === agent) this.#isCut = true;
    }
    if (this.#agent !== agent) return;
    this.#isRunOpen = false;
    this.#isStreaming = false;
    this.#show();
  }

  #newAgent(): ProxiedCopilotRuntimeAgent {
    const agent: ProxiedCopilotRuntimeAgent = new ProxiedCopilotRuntimeAgent({
      runtimeUrl: RUNTIME_URL,
      agentId: AGENT_ID,
      threadId: this.threadId,
      transport: "rest",
      runtimeMode: "sse",
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        const onCut = () => {
          if (this.#agent === agent) this.#isCut = true;
        };
        return response.body === null
          ? response
          : new Response(untilCut(response.body, onCut), response);
      },
    });
    return agent;
  }

  #subscriber(agent: ProxiedCopilotRuntimeAgent): AgentSubscriber {
    const isMine = () => this.#agent === agent;
    const ended = (failure: Failure | null) => {
      if (!isMine()) return;
      this.#isRunOpen = false;
      this.#failure = failure;
      this.#show();
    };
    return {
      onRunStartedEvent: () => {
        if (!isMine()) return;
        this.#isRunOpen = true;
        this.#failure = null;
        this.#show();
      },
      onRunFinishedEvent: () => ended(null),
      onRunErrorEvent: ({ event }) => ended({ code: event.code ?? "", message: event.message }),
      onMessagesChanged: () => {
        if (isMine()) this.#show();
      },
      onRunFailed: ({ error }): AgentStateMutation => {
        // A request that reaches nobody fails with a TypeError.
        if (isMine() && error instanceof TypeError) this.#isCut = true;
        else if (isMine()) this.#failure = { code: "", message: error.message };
        return { stopPropagation: true }; // Or the client writes the error to the console as well.
      },
    };
  }

  #show(): void {
    this.#timer ??= window.setTimeout(() => {
      this.#timer = undefined;
      const { messages } = this.#agent;
      // While a reconnect has brought nothing yet, the page goes on showing what it had.
      const isEmptyYet = messages.length === 0 && this.#isStreaming;
      this.#view = this.#currentView(isEmptyYet ? this.#view.messages : [...messages]);
      for (const listener of this.#listeners) listener();
    }, SHOW_EVERY_MS);
  }

  #currentView(messages: readonly Message[]): View {
    return {
      messages,
      isAnswering: this.#isRunOpen,
      isStreaming: this.#isStreaming,
      failure: this.#failure,
      isCut: this.#isCut,
      unsent: this.#unsent,
    };
  }
}

/** Ends a stream that is cut without an error: the client would leave the rejection unhandled. */
function untilCut(body: ReadableStream<Uint8Array>, onCut: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch {
        onCut();
        controller.close();
      }
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** The text of a message, without its attachments. */
export function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (part.type === "text" ? part.text : "")).join(" ");
}
