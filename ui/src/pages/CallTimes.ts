// What is known of the course of one call: stretches of time from the moment it was sent, the gaps between pieces of
// its content, and what nobody recorded, said as such.
import type { FullCall } from "./CallFields";

export interface Stretch {
  title: string;
  /** milliseconds after the request was sent */
  from: number;
  to: number;
  kind: "headers" | "before" | "content" | "ending" | "stated";
  meaning: string;
}

type Timed = Pick<
  FullCall,
  "duration_ms" | "headers_ms" | "ttft_ms" | "chunks" | "itl_mean_ms" | "itl_buckets" | "server_ms" | "queue_ms" | "streamed" | "status" | "outcome"
>;

const ENDS: Record<string, string> = { error: "it failed", aborted: "the client left", truncated: "the stream broke off" };

/** How a call with that outcome ended. */
export function ending(outcome: string): string {
  return ENDS[outcome] ?? "the last byte came";
}

/** When the last content came: known where every gap is. */
export function lastContent({ ttft_ms: first, chunks, itl_mean_ms: mean, itl_buckets: buckets, duration_ms: end }: Timed): number | null {
  if (first === null || chunks === null) return null;
  if (chunks === 1) return first;
  const known = (buckets ?? []).reduce((sum, gaps) => sum + gaps, 0);
  if (mean === null || known !== chunks - 1) return null;
  const last = first + mean * known;
  return end === null ? last : Math.min(last, end);
}

export function stretches(call: Timed): Stretch[] {
  const { duration_ms: end, ttft_ms: first } = call;
  const headers = call.headers_ms !== null && call.headers_ms <= (first ?? end ?? Infinity) ? call.headers_ms : null;
  const found: Stretch[] = [];
  const add = (title: string, from: number, to: number, kind: Stretch["kind"], meaning: string) => found.push({ title, from, to, kind, meaning });
  const over = ending(call.outcome);
  if (headers !== null) add("Until the headers", 0, headers, "headers", "from the request to the headers of the answer");
  const [since, from] = headers === null ? [0, "the request"] : [headers, "the headers"];
  if (first === null) {
    if (end !== null) add(call.outcome === "ok" ? "Until the whole answer" : "Until it ended", since, end, "before", `from ${from} to when ${over}`);
  } else {
    const last = lastContent(call);
    add("Until the first content", since, first, "before", `from ${from} to the first piece of content, visible or reasoning`);
    const pieces = call.chunks === null ? "content" : `${call.chunks} pieces of content`;
    if (last !== null && last > first) add("Content", first, last, "content", `${pieces}, from the first to the last`);
    if (end !== null && end >= (last ?? first)) {
      if (last === null) add("Content, until the end", first, end, "content", `${pieces}, until ${over}`);
      else add("After the content", last, end, "ending", `from the last content to when ${over}`);
    }
  }
  if (call.queue_ms !== null) add("In a queue, as stated", 0, call.queue_ms, "stated", "told by the provider: how long, not when");
  if (call.server_ms !== null) add("At work, as stated", 0, call.server_ms, "stated", "told by the provider: how long, not when");
  return found;
}

/** What cannot be drawn, in sentences. */
export function missing(call: Timed): string[] {
  const said: string[] = [];
  if (call.headers_ms === null && call.status !== null) said.push("Nobody recorded when its headers came.");
  if (call.duration_ms === null) said.push("Nobody recorded how long it took.");
  if (!call.streamed) said.push("It was not streamed, so there is no first token and there are no gaps.");
  else if (call.ttft_ms === null) said.push("Nobody recorded when its first content came.");
  else said.push("Events before the first content are not kept.");
  if (call.ttft_ms !== null && lastContent(call) === null) said.push("Not every gap is known, so it cannot be said when the last content came.");
  const unsaid = [call.server_ms === null ? "how long it worked" : "", call.queue_ms === null ? "how long the request waited" : ""].filter(Boolean);
  if (unsaid.length) said.push(`The provider did not say ${unsaid.join(" nor ")}.`);
  return said;
}

export interface Gaps {
  /** gaps longer than this */
  over: number;
  /** and up to this; null: no end */
  upTo: number | null;
  gaps: number;
}

const BUCKETS = 81;

/** The gaps by length, from the shortest to the longest that there is; two neighbouring buckets as one bar. */
export function gapBars(buckets: number[] | null): Gaps[] {
  const counts = buckets ?? [];
  const first = counts.findIndex((gaps) => gaps > 0);
  if (first < 0) return [];
  const last = counts.findLastIndex((gaps) => gaps > 0);
  const bars: Gaps[] = [];
  for (let at = first - (first % 2); at <= last; at += 2) {
    const upper = at + 1;
    bars.push({ over: at === 0 ? 0 : 2 ** ((at - 1) / 4), upTo: upper >= BUCKETS - 1 ? null : 2 ** (upper / 4), gaps: (counts[at] ?? 0) + (counts[upper] ?? 0) });
  }
  return bars;
}
