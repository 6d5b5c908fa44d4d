export type { EventLike } from "./events/event.ts";
export type { ModelUsage } from "./events/usage.ts";
export type { Message } from "./events/view/message.ts";
export type { StoredView, View } from "./events/view/thread-view.ts";
export type { WithThreadsOptions } from "./http/gate.ts";
export { type HealthzOptions, healthz, healthzListener } from "./http/healthz.ts";
export type { Identify, Identity } from "./http/identify.ts";
export type { HttpErrorCode } from "./http/refusal.ts";
export { type FetchHandler, withThreads } from "./http/with-threads.ts";
export { type NodeListener, withThreadsListener } from "./http/with-threads-listener.ts";
export { RunStoreError, type RunStoreErrorCode } from "./protocol/errors.ts";
export type { DatabaseCheck, DatabaseFacts } from "./protocol/file-messages.ts";
export type { Logger } from "./protocol/logger.ts";
export type { Scope } from "./protocol/scope.ts";
export type { Retention } from "./retention/limits.ts";
export type {
  AgentInput,
  ConnectRequest,
  EventStream,
  InputMessage,
  IsRunningRequest,
  RunInput,
  RunnableAgent,
  RunRequest,
  RunSubscriber,
  StopRequest,
} from "./runner/agent.ts";
export type { HealthOptions, RunnerHealth } from "./runner/health.ts";
export type {
  InterruptedRun,
  OnInterrupted,
  Rerun,
  RerunOptions,
} from "./runner/interruptions.ts";
export type {
  OnConcurrentRun,
  RunnerOptions,
  SqliteAgentRunnerOptions,
  StoreInput,
} from "./runner/options.ts";
export type { InputMessages } from "./runner/read-input.ts";
export { EVERY_RESOURCE, type Resources, withResource } from "./runner/resource.ts";
export type { RunnerTransfer } from "./runner/runner-transfer.ts";
export { SqliteAgentRunner } from "./runner/sqlite-agent-runner.ts";
export {
  checkDatabase,
  compactDatabase,
  inspectDatabase,
} from "./runner/sqlite-database.ts";
export {
  type PurgeOptions,
  type RunnerStats,
  StoreAgentRunner,
  type StoreAgentRunnerOptions,
} from "./runner/store-agent-runner.ts";
export { isConversation, type StoreRun } from "./runner/store-run.ts";
export type { TitleFor, UntitledThread } from "./runner/thread-titles.ts";
export type { ForkOptions, ListThreadsQuery, Threads, ViewOptions } from "./runner/threads.ts";
export type { InterruptedRuns, OfferedRun, TakenRun } from "./store/interrupted-runs.ts";
export type {
  BackupOptions,
  BackupProgress,
  BackupResult,
  ClaimedRun,
  ClaimOutcome,
  ClaimRequest,
  Distribution,
  HistoryCursor,
  HistoryOptions,
  HistoryPage,
  HistorySegment,
  HistoryViews,
  LiveRun,
  RunStore,
  StoreStats,
  ViewPoint,
} from "./store/run-store.ts";
export type {
  EraseRequest,
  EraseResult,
  ForkOrigin,
  ForkRequest,
  HeldThread,
  Holders,
  HoldersQuery,
  Journal,
  PurgeLimits,
  PurgeRequest,
  PurgeResult,
  RunDetails,
  RunnerInstance,
  RunOutcome,
  RunPage,
  RunQuery,
  RunRef,
  RunSummary,
  ThreadChange,
  ThreadMetadata,
  ThreadOrder,
  ThreadPage,
  ThreadQuery,
  ThreadStore,
  ThreadSummary,
  TokenUsage,
} from "./store/thread-store.ts";
export type {
  ImportPart,
  MovedCursor,
  MovedPage,
  MovedPart,
  MovedRun,
  MovedRunEnd,
  MovedRunHead,
  MovedThread,
  ThreadTransfer,
} from "./store/thread-transfer.ts";
export { CHANNELS } from "./telemetry/channels.ts";
export type {
  BatchTelemetry,
  ErrorTelemetry,
  EventTelemetry,
  LeaseTelemetry,
  RecoveryTelemetry,
  RetentionTelemetry,
  RunStatus,
  RunTelemetry,
} from "./telemetry/messages.ts";
export {
  type ExportOptions,
  type ExportProgress,
  exportThreads,
} from "./transfer/export-threads.ts";
export { exportVersion1, type Version1Result } from "./transfer/export-version-1.ts";
export {
  type ImportOptions,
  type ImportProgress,
  type ImportResult,
  importThreads,
  type OnConflict,
} from "./transfer/import-threads.ts";
export { fromNdjson, toNdjson } from "./transfer/ndjson.ts";
export type {
  EventsRecord,
  ExportRecord,
  MessagesRecord,
  RunRecord,
  ThreadEndRecord,
  ThreadRecord,
  TotalRecord,
  VoidRecord,
} from "./transfer/records.ts";
