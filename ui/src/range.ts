// The time range: a span back from now, or two moments. In: the address. Out: what the API is asked, and the same for
// the period before it.
import { choice, place, set } from "./place";

export const RANGES = ["15m", "1h", "6h", "24h", "7d", "30d"] as const;
export const RANGE_OTHERWISE = "24h";

const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
const STEPS_SECONDS = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];
const POINTS = 150;

export interface Range {
  /** as the API takes them */
  since: string;
  until: string;
  seconds: number;
  /** ends now, and moves on */
  live: boolean;
  title: string;
}

export function seconds(text: string): number | null {
  const found = /^([1-9][0-9]{0,3})([smhdw])$/.exec(text);
  return found ? Number(found[1]) * (UNIT_SECONDS[found[2] ?? ""] ?? 0) : null;
}

/** A number of seconds as the API writes it, such as 2h. */
export function width(ofSeconds: number): string {
  for (const unit of ["d", "h", "m"]) {
    const size = UNIT_SECONDS[unit] ?? 1;
    if (ofSeconds % size === 0 && ofSeconds / size < 10_000) return `${ofSeconds / size}${unit}`;
  }
  return `${Math.max(1, Math.round(ofSeconds))}s`;
}

export function current(): Range {
  const { query } = place.value;
  const since = query.get("since");
  const until = query.get("until");
  if (since && until && Date.parse(since) < Date.parse(until)) {
    const span = (Date.parse(until) - Date.parse(since)) / 1000;
    return { since, until, seconds: span, live: false, title: `${moment(since)} to ${moment(until)}` };
  }
  const chosen = query.get("range") ?? RANGE_OTHERWISE;
  const span = seconds(chosen) ?? seconds(RANGE_OTHERWISE) ?? 86_400;
  const said = seconds(chosen) ? chosen : RANGE_OTHERWISE;
  return { since: said, until: "now", seconds: span, live: true, title: `last ${said}` };
}

/** The period of the same length that ended where this one begins. */
export function before(range: Range): Range {
  if (range.live) {
    return { ...range, since: width(range.seconds * 2), until: range.since, title: `the ${range.since} before` };
  }
  const since = new Date(Date.parse(range.since) - range.seconds * 1000).toISOString();
  return { ...range, since, until: range.since, title: "the period before" };
}

/** The width of a point, so that a chart has about 150 of them. */
export function step(range: Range, points = POINTS): number {
  return STEPS_SECONDS.find((each) => range.seconds / each <= points) ?? 604_800;
}

export function choose(range: string): void {
  set({ range: range === RANGE_OTHERWISE ? null : range, since: null, until: null });
}

/** Zoom to two moments, in milliseconds since 1970. */
export function zoom(sinceMs: number, untilMs: number): void {
  const whole = (ms: number) => new Date(Math.round(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
  if (untilMs - sinceMs >= 2000) set({ range: null, since: whole(sinceMs), until: whole(untilMs) });
}

export function utc(): boolean {
  return choice("zone", "local") === "utc";
}

export function zoneName(): string {
  return utc() ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function formatter(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", ...(utc() ? { timeZone: "UTC" } : {}) });
}

/** 26 Nov, 04:53:12 in the chosen zone. */
export function moment(when: string | number, withSeconds = false): string {
  const options: Intl.DateTimeFormatOptions = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return formatter(withSeconds ? { ...options, second: "2-digit" } : options).format(new Date(when));
}

export function clock(when: string | number): string {
  return formatter({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(when));
}

export function day(when: string | number): string {
  return formatter({ day: "numeric", month: "short", year: "numeric" }).format(new Date(when));
}

/** How long ago, in one word or two. */
export function ago(when: string, nowMs = Date.now()): string {
  const past = Math.max(0, (nowMs - Date.parse(when)) / 1000);
  if (past < 5) return "now";
  if (past < 90) return `${Math.round(past)} s ago`;
  if (past < 5400) return `${Math.round(past / 60)} min ago`;
  if (past < 129_600) return `${Math.round(past / 3600)} h ago`;
  return `${Math.round(past / 86_400)} days ago`;
}
