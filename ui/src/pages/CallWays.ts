// Texts that lead from a call to elsewhere: a trace in another tool, a command in a shell.
import { condition } from "../conditions";
import type { Change } from "../place";
import type { FullCall } from "./CallFields";

/** The address of a trace; null where the template is none. */
export function traceAddress(template: string, traceId: string, spanId: string | null): string | null {
  if (!/^https?:\/\/[^/]/.test(template) || !template.includes("{trace_id}")) return null;
  return template.replaceAll("{trace_id}", traceId).replaceAll("{span_id}", spanId ?? "");
}

const NEAR_MS = 86_400_000;

/** The day before a moment and the day after it, as a range of the address. */
export function around(at: string): { since: string; until: string } {
  const moment = (ms: number) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
  return { since: moment(Date.parse(at) - NEAR_MS), until: moment(Date.parse(at) + NEAR_MS) };
}

/** What leads to the calls that share a trace or an operation with this one, whatever the page was narrowed to. */
export function together(name: "trace_id" | "operation_id", call: FullCall): Change {
  return { where: [condition(name, call[name] as string)], range: null, ...around(call.started_at) };
}
