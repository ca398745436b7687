// What the headers of the answers said is left of a limit, and when it starts anew.
import type { HeadroomRow } from "../types";

export const LOW = 0.2;

export interface Gauge {
  of: "requests" | "tokens";
  left: number;
  limit: number;
  /** 0 to 1 */
  share: number;
  /** when the window starts anew, in milliseconds since 1970 */
  anewMs: number | null;
  /** the window has ended since: what was left then is no longer so */
  over: boolean;
}

const WINDOW_OTHERWISE_MS = 60_000;

export function gauges(row: HeadroomRow, nowMs: number): Gauge[] {
  return [
    gauge("requests", row.limit_requests, row.remaining_requests, row.reset_requests_ms, row.at, nowMs),
    gauge("tokens", row.limit_tokens, row.remaining_tokens, row.reset_tokens_ms, row.at, nowMs),
  ].filter((each): each is Gauge => each !== null);
}

function gauge(of: Gauge["of"], limit: number | null, left: number | null, resetMs: number | null, at: string, nowMs: number): Gauge | null {
  if (left === null || limit === null || limit <= 0) return null;
  const anewMs = resetMs === null ? null : Date.parse(at) + resetMs;
  // Providers count by the minute: where none is told, a minute is what it may still tell.
  const ends = anewMs ?? Date.parse(at) + WINDOW_OTHERWISE_MS;
  return { of, left, limit, share: Math.max(0, Math.min(1, left / limit)), anewMs, over: ends < nowMs };
}

/** The least that is left first; what is over comes last. */
export function byNeed(rows: HeadroomRow[], nowMs: number): HeadroomRow[] {
  const need = (row: HeadroomRow) => {
    const found = gauges(row, nowMs);
    return found.length ? Math.min(...found.map((each) => each.share + (each.over ? 1 : 0))) : 3;
  };
  return rows.filter((row) => gauges(row, nowMs).length > 0).sort((a, b) => need(a) - need(b));
}

export function inWords(ms: number): string {
  const seconds = Math.abs(ms) / 1000;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1).replace(/\.0$/, "") : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
