// The list of calls as it is kept: newest first, each once, never more than fit into memory; and which of them are drawn.
import type { Call } from "../types";

export const CALLS_MAX = 1000;
export const ROWS_DRAWN_MAX = 200;
const OVERSCAN_ROWS = 12;

/** The place of a call in the list, as `after` of the API takes it. */
export function placed(call: Call): string {
  return `${call.started_at},${call.call_id}`;
}

function newer(a: Call, b: Call): number {
  if (a.started_at !== b.started_at) return a.started_at < b.started_at ? 1 : -1;
  return a.call_id < b.call_id ? 1 : a.call_id > b.call_id ? -1 : 0;
}

/** Both lists as one, newest first. Of a call that is in both, what was told last counts. */
export function merged(kept: Call[], come: Call[]): Call[] {
  const known = new Map(kept.map((call) => [call.call_id, call]));
  for (const call of come) known.set(call.call_id, call);
  return [...known.values()].sort(newer);
}

export interface Kept {
  calls: Call[];
  /** where the list goes on; null at its end */
  next: string | null;
}

/** With calls that came from the stream. What started before the oldest of an unfinished list is found by going on. */
export function with_(kept: Kept, come: Call[], max = CALLS_MAX): Kept {
  const oldest = kept.calls.at(-1);
  const fits = kept.next === null || !oldest ? come : come.filter((call) => newer(call, oldest) <= 0);
  const calls = merged(kept.calls, fits);
  if (calls.length <= max) return { calls, next: kept.next };
  const shown = calls.slice(0, max);
  const last = shown.at(-1);
  return { calls: shown, next: last ? placed(last) : kept.next };
}

export interface Span {
  from: number;
  to: number;
}

/** Which rows are drawn: those in sight and some around them. */
export function drawn(rows: number, scrolled: number, height: number, rowHeight: number): Span {
  const first = Math.floor(scrolled / rowHeight) - OVERSCAN_ROWS;
  const many = Math.min(ROWS_DRAWN_MAX, Math.ceil(height / rowHeight) + 2 * OVERSCAN_ROWS);
  const from = Math.max(0, Math.min(first, rows - many));
  return { from, to: Math.min(rows, from + many) };
}

const SCALES = [1, 1.5, 2, 3, 5, 7, 10];

/** What the bars of a column are measured by: a round number that nine of ten calls fit under. */
export function scaleMs(calls: Call[]): number {
  const known = calls.flatMap((call) => (call.duration_ms === null ? [] : [call.duration_ms])).sort((a, b) => a - b);
  const high = Math.max(known[Math.floor(known.length * 0.9)] ?? 1000, 1);
  const power = 10 ** Math.floor(Math.log10(high));
  return (SCALES.find((each) => each * power >= high) ?? 10) * power;
}

/** The part of the answered model that the requested one does not say: a dated version needs no repetition. */
export function differing(asked: string, answered: string): string {
  return answered.startsWith(`${asked}-`) ? `…${answered.slice(asked.length)}` : answered;
}

const HEX = /^[0-9a-f]{32}$/;

/** The id that somebody typed or pasted: with dashes, in capitals, or inside a traceparent. null: it is none. */
export function identity(text: string): string | null {
  const plain = text.trim().toLowerCase();
  const parent = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(plain);
  const id = parent?.[1] ?? plain.replaceAll("-", "");
  return HEX.test(id) ? id : null;
}
