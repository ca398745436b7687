// What a change of version did: the calls of the version before, up to the change, against those of the version after.
import { change } from "../format";
import type { SeriesRow, Value, VersionChange } from "../types";
import { inline } from "../words";

export const COMPARED = [
  "calls",
  "error_rate",
  "duration_p50_ms",
  "duration_p95_ms",
  "ttft_p95_ms",
  "itl_p95_ms",
  "output_tokens",
  "cost_per_call_usd",
  "cost_per_1k_tokens_usd",
  "cache_hit_rate",
];

export interface Spans {
  before: { since: string; until: string };
  after: { since: string; until: string };
  seconds: number;
}

const ROUND_SECONDS = 300;
export const CALLS_ENOUGH = 30;

const written = (ms: number): string => new Date(ms).toISOString().replace(".000Z", "Z");

/** Spans of the same length on both sides; shorter than wished where the change is younger. */
export function spans(at: string, wishedSeconds: number, nowMs: number): Spans {
  const moment = Date.parse(at);
  const elapsed = Math.floor((nowMs - moment) / 1000 / ROUND_SECONDS) * ROUND_SECONDS;
  const seconds = Math.max(ROUND_SECONDS, Math.min(wishedSeconds, elapsed));
  return {
    before: { since: written(moment - seconds * 1000), until: at },
    after: { since: at, until: written(moment + seconds * 1000) },
    seconds,
  };
}

export interface Compared {
  name: string;
  title: string;
  unit: string;
  before: Value;
  after: Value;
  moved: number | null;
  more: "bad" | "good" | "neither";
}

const LINES: [string, string, Compared["more"]][] = [
  ["calls", "calls", "neither"],
  ["error_rate", "1", "bad"],
  ["duration_p50_ms", "ms", "bad"],
  ["duration_p95_ms", "ms", "bad"],
  ["ttft_p95_ms", "ms", "bad"],
  ["itl_p95_ms", "ms", "bad"],
  ["output_per_call", "tokens", "neither"],
  ["cost_per_call_usd", "USD", "bad"],
  ["cost_per_1k_tokens_usd", "USD", "bad"],
  ["cache_hit_rate", "1", "good"],
];

function figure(row: SeriesRow | undefined, name: string): Value {
  if (name !== "output_per_call") return (row?.[name] as Value | undefined) ?? null;
  const [tokens, calls] = [figure(row, "output_tokens"), figure(row, "calls")];
  return tokens === null || !calls ? null : tokens / calls;
}

export function compared(before: SeriesRow | undefined, after: SeriesRow | undefined): Compared[] {
  return LINES.map(([name, unit, more]) => {
    const [was, is] = [figure(before, name), figure(after, name)];
    return { name, title: inline(name), unit, more, before: was, after: is, moved: change(is, was) };
  }).filter((line) => line.before !== null || line.after !== null);
}

const MOVED_MIN = 0.05;

/** How a move is to be taken; below five in a hundred it is no news. */
export function mood(line: Compared): "good" | "bad" | "" {
  if (line.moved === null || line.more === "neither" || Math.abs(line.moved) < MOVED_MIN) return "";
  return line.moved > 0 === (line.more === "good") ? "good" : "bad";
}

export function enough(lines: Compared[]): boolean {
  const calls = lines.find((line) => line.name === "calls");
  return (calls?.before ?? 0) >= CALLS_ENOUGH && (calls?.after ?? 0) >= CALLS_ENOUGH;
}

export function keyOf(changed: VersionChange): string {
  return `${changed.provider}/${changed.request_model}@${changed.at}`;
}
