export {
  type Instrumentation,
  type InstrumentOptions,
  instrumentRunners,
} from "./opentelemetry/instrument.ts";
