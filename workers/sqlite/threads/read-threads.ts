import { RunStoreError } from "../../../src/protocol/errors.ts";
import type {
  ListRunsMessage,
  ListRunsRequest,
  ListThreadsMessage,
  ListThreadsRequest,
  ReadThreadMessage,
  ReadThreadRequest,
} from "../../../src/protocol/thread-messages.ts";

export class ThreadReader {
  list(_request: ListThreadsRequest): ListThreadsMessage {
    throw new RunStoreError("STORE_FAILED", "threads cannot be listed yet");
  }

  get(_request: ReadThreadRequest): ReadThreadMessage {
    throw new RunStoreError("STORE_FAILED", "threads cannot be read yet");
  }

  runs(_request: ListRunsRequest): ListRunsMessage {
    throw new RunStoreError("STORE_FAILED", "runs cannot be listed yet");
  }
}
