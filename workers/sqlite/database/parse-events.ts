export { parseEvents } from "../../../src/events/json/parse-events.ts";
