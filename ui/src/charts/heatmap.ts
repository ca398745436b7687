// From the answer to cells: an even grid of time, and the bands that hold something with one more at either end. Pure.
import { exact, milliseconds } from "../format";
import type { Heat } from "../types";

export interface Cells {
  /** seconds since 1970: the edges of the grid */
  since: number;
  until: number;
  step: number;
  columns: number;
  /** from the fastest to the slowest, in milliseconds */
  bands: { low: number; high: number }[];
  /** column, band, calls */
  cells: [number, number, number][];
  least: number;
  most: number;
}

export function cells(heat: Heat): Cells {
  const step = heat.step_seconds;
  const since = Math.floor(Date.parse(heat.since) / 1000 / step) * step;
  const columns = Math.max(1, Math.ceil((Date.parse(heat.until) / 1000 - since) / step));
  const held = heat.rows.map(([, bucket]) => bucket);
  const least = Math.max(0, held.reduce((a, b) => Math.min(a, b), Infinity) - 1);
  const last = Math.min(heat.buckets.length - 1, held.reduce((a, b) => Math.max(a, b), 0) + 1);
  return {
    since,
    until: since + columns * step,
    step,
    columns,
    bands: heat.rows.length ? heat.buckets.slice(least, last + 1).map((each) => ({ low: each.low_ms, high: each.high_ms })) : [],
    cells: heat.rows.map(([time, bucket, calls]) => [Math.round((time - since) / step), bucket - least, calls]),
    least: heat.rows.reduce((least, [, , calls]) => Math.min(least, calls), Infinity),
    most: heat.rows.reduce((most, [, , calls]) => Math.max(most, calls), 0),
  };
}

/** How dark a cell is: by the logarithm, since a few hundred calls would hide a handful, which are what one looks for. */
export function shade(calls: number, most: number): string {
  return (0.12 + 0.88 * (most <= 1 ? 1 : Math.log(calls) / Math.log(most))).toFixed(3);
}

/** What the colours stand for: the least, the most, and what lies between. */
export function steps({ least, most }: Cells): number[] {
  return most === 0 ? [] : [...new Set([least, Math.round(Math.sqrt(least * most)), most])];
}

// The round numbers first: a rounder one keeps its place before those beside it.
const TICKS_MS = [1, 10, 100, 1000, 10_000, 60_000, 600_000, 5, 50, 500, 5000, 30_000, 300_000, 2, 20, 200, 2000, 20_000, 120_000, 3_600_000, 0.1, 0.5];
const TICKS_SECONDS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000];

export interface Tick {
  /** a duration in milliseconds, or seconds since 1970 */
  value: number;
  /** from 0 to 1 */
  place: number;
}

/** Round durations that do not stand closer than `gap`. */
export function durationTicks({ bands }: Cells, gap: number): Tick[] {
  const taken: Tick[] = [];
  for (const value of TICKS_MS) {
    const index = bands.findIndex((band) => band.low <= value && value < band.high);
    const band = bands[index];
    if (!band) continue;
    const within = band.low > 0 ? Math.log(value / band.low) / Math.log(band.high / band.low) : value / band.high;
    const place = (index + within) / bands.length;
    if (taken.every((other) => Math.abs(other.place - place) >= gap)) taken.push({ value, place });
  }
  return taken;
}

/** Whole hours or days, of a zone so many seconds behind UTC, and the seconds between two of them. */
export function timeTicks({ since, until }: Cells, gap: number, behind: number): { every: number; ticks: Tick[] } {
  const span = until - since;
  const every = TICKS_SECONDS.find((each) => each / span >= gap) ?? span;
  const ticks: Tick[] = [];
  for (let value = Math.ceil((since - behind) / every) * every + behind; value <= until; value += every) ticks.push({ value, place: (value - since) / span });
  return { every, ticks };
}

export interface Cell {
  /** its place in the grid */
  column: number;
  band: number;
  time: number;
  low: number;
  high: number;
  calls: number;
}

/** What is at a place of the grid; x and y from 0 to 1, y upwards. */
export function cellAt(found: Cells, x: number, y: number): Cell | null {
  const column = Math.floor(x * found.columns);
  const band = Math.floor(y * found.bands.length);
  const edges = found.bands[band];
  if (!edges || column < 0 || column >= found.columns) return null;
  const calls = found.cells.find((each) => each[0] === column && each[1] === band)?.[2] ?? 0;
  return { column, band, time: found.since + column * found.step, ...edges, calls };
}

/** What the map shows, for those who do not see it. */
export function summed(found: Cells, what: string): string {
  const sums = new Map<number, number>();
  for (const [, band, calls] of found.cells) sums.set(band, (sums.get(band) ?? 0) + calls);
  const [usual] = [...sums.entries()].sort((a, b) => b[1] - a[1]);
  const slowest = found.bands[Math.max(-1, ...sums.keys())];
  const band = usual === undefined ? undefined : found.bands[usual[0]];
  if (!band || !slowest) return "Nothing is known.";
  const all = [...sums.values()].reduce((sum, each) => sum + each, 0);
  return `${exact(all)} ${what}; most often ${milliseconds(band.low)} to ${milliseconds(band.high)}, at the most ${milliseconds(slowest.high)}.`;
}
