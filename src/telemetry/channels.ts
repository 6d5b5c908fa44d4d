import {
  type Channel,
  channel,
  type TracingChannel,
  tracingChannel,
} from "node:diagnostics_channel";
import type {
  BatchTelemetry,
  ErrorTelemetry,
  EventTelemetry,
  LeaseTelemetry,
  RecoveryTelemetry,
  RetentionTelemetry,
  RunTelemetry,
} from "./messages.ts";

/**
 * The names of the channels of `node:diagnostics_channel` on which the runners of this process tell what they do.
 * `run` is the name of a tracing channel. `docs/telemetry.md` has the shape of each message.
 */
export const CHANNELS = {
  run: "durable-agent-runner:run",
  event: "durable-agent-runner:event",
  batch: "durable-agent-runner:batch",
  recovery: "durable-agent-runner:recovery",
  retention: "durable-agent-runner:retention",
  lease: "durable-agent-runner:lease",
  error: "durable-agent-runner:error",
} as const;

/** A channel, and what is published on it. */
interface ChannelOf<Message> extends Channel {
  /** Whoever publishes looks first: a message that nobody gets is not made. */
  readonly hasSubscribers: boolean;
  publish(message: Message): void;
}

// Node forgets a channel that nobody refers to, with its subscribers.
export const runChannel: TracingChannel<object, RunTelemetry> = tracingChannel(CHANNELS.run);
export const eventChannel: ChannelOf<EventTelemetry> = channel(CHANNELS.event);
export const batchChannel: ChannelOf<BatchTelemetry> = channel(CHANNELS.batch);
export const recoveryChannel: ChannelOf<RecoveryTelemetry> = channel(CHANNELS.recovery);
export const retentionChannel: ChannelOf<RetentionTelemetry> = channel(CHANNELS.retention);
export const leaseChannel: ChannelOf<LeaseTelemetry> = channel(CHANNELS.lease);
export const errorChannel: ChannelOf<ErrorTelemetry> = channel(CHANNELS.error);
